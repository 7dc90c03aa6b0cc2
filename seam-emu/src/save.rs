//! Saving and restoring the firmware's state.

use crate::firmware::State;
use crate::{Config, ConfigError, Firmware};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha384};
use thiserror::Error;

/// First bytes of a saved state.
const MAGIC: [u8; 8] = *b"SEAM-EMU";
/// Version of the saved form; any change to the state changes it.
const FORM: u32 = 4;

/// A saved state.
#[derive(Serialize, Deserialize)]
struct Saved<S> {
    magic: [u8; 8],
    form: u32,
    #[serde(with = "hex::serde")]
    config_hash: [u8; 48],
    state: S,
}

/// Why a saved state was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// The configuration describes no possible platform.
    #[error("the platform is not possible: {0}")]
    Config(#[from] ConfigError),
    /// The bytes are no saved state of this version.
    #[error("not a firmware state of form {FORM}: it is damaged, or another version saved it; save it again")]
    Form,
    /// It was saved on another platform.
    #[error(
        "the state was saved with another firmware configuration: restore with the configuration it was saved with"
    )]
    OtherConfig,
}

impl Firmware {
    /// The whole state; equal states give equal bytes.
    pub fn save(&self) -> Vec<u8> {
        let config_hash = config_hash(&self.config);
        let saved = Saved { magic: MAGIC, form: FORM, config_hash, state: &self.state };
        postcard::to_allocvec(&saved).expect("writing to memory does not fail")
    }

    /// The state that [`Firmware::save`] gave, on the same configuration. Faults and durations may differ: a snapshot
    /// is taken once and run under many plans. Faults count their calls from the restored point on if they differ.
    pub fn restore(config: Config, bytes: &[u8]) -> Result<Self, RestoreError> {
        config.validate()?;
        let saved: Saved<State> = postcard::from_bytes(bytes).map_err(|_| RestoreError::Form)?;
        if saved.magic != MAGIC || saved.form != FORM {
            return Err(RestoreError::Form);
        }
        if saved.config_hash != config_hash(&config) {
            return Err(RestoreError::OtherConfig);
        }
        let mut state = saved.state;
        state.striker.adopt(&config.faults);
        Ok(Self::with_state(config, state))
    }
}

/// Hash of what the state depends on: all of the configuration but faults and durations.
fn config_hash(config: &Config) -> [u8; 48] {
    let platform = Config { faults: Vec::new(), durations: crate::Durations::default(), ..config.clone() };
    Sha384::digest(serde_json::to_vec(&platform).expect("a configuration is JSON")).into()
}
