//! What each update of a scenario uploads.

use crate::scenario::Scenario;
use crate::trouble::Trouble;
use seam_emu::image::{Descriptor, Image, ImageSpec};

/// What update `number`, counted from 1, uploads: the file, and the version that it brings where the rig knows it.
pub(crate) fn update_image(scenario: &Scenario, number: u32) -> Result<(Vec<u8>, Option<String>), Trouble> {
    if let Some(file) = &scenario.image.file {
        let image = std::fs::read(file).map_err(|e| Trouble::file("read", file, &e))?;
        let version = version_in(&image);
        return Ok((image, version));
    }
    let spec = update_spec(scenario, number);
    let image = seam_emu::image::build(&spec);
    let version = Some(spec.version_string());
    Ok(match scenario.image.mutation {
        Some(mutation) => (mutation.apply(&image), version),
        None => (image, version),
    })
}

/// The version of the module in a file: from the descriptor of the rig's own images, else from the sigstruct, which has
/// it in the 2.0 series only. None: the file does not say.
fn version_in(file: &[u8]) -> Option<String> {
    let image = Image::parse(file).ok()?;
    let has_version = image.sigstruct.module_version.iter().any(|byte| *byte != 0);
    let assumed = || has_version.then(|| Descriptor::assumed(&image.sigstruct));
    let Descriptor { major, minor, update, .. } = Descriptor::find(&image.module).or_else(assumed)?;
    Some(ImageSpec::version(major, minor, update).version_string())
}

/// What the scenario names for this update; else one update version more each time.
pub(crate) fn update_spec(scenario: &Scenario, number: u32) -> ImageSpec {
    let number = u16::try_from(number).expect("scenarios make at most 1000 updates");
    let modules = &scenario.image.modules;
    if let Some(named) = modules.get(usize::from(number) - 1).or(modules.last()) {
        return named.clone();
    }
    match &scenario.image.spec {
        Some(first) => ImageSpec { update: first.update.wrapping_add(number - 1), ..first.clone() },
        None => ImageSpec { update: scenario.module.update.wrapping_add(number), ..scenario.module.clone() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::UpdateImage;
    use seam_emu::Generation;

    #[test]
    fn each_update_has_an_image_of_a_newer_module() {
        let mut scenario = Scenario::default();
        assert_eq!(update_spec(&scenario, 1).version_string(), "1.5.07");
        assert_eq!(update_spec(&scenario, 5).version_string(), "1.5.11");
        scenario.image.spec = Some(ImageSpec::version(1, 5, 3));
        assert_eq!(update_spec(&scenario, 1).version_string(), "1.5.03");
    }

    #[test]
    fn each_update_has_the_image_that_is_named_for_it() {
        let mut scenario = Scenario::default();
        scenario.image.modules = [Generation::V1_5_16, Generation::V1_5_25].map(ImageSpec::of).to_vec();
        let versions = [1, 2, 3].map(|number| update_spec(&scenario, number).version_string());
        assert_eq!(versions, ["1.5.16", "1.5.25", "1.5.25"], "who updates more often gets the last again");
        assert_eq!(update_image(&scenario, 2).unwrap().1.as_deref(), Some("1.5.25"));
    }

    #[test]
    fn images_can_be_wrong_or_somebody_elses() {
        let mut scenario = Scenario::default();
        let good = update_image(&scenario, 1).unwrap().0;
        scenario.image.mutation = Some(seam_emu::image::Mutation::Truncated);
        assert_eq!(update_image(&scenario, 1).unwrap().0, good[..good.len() - 4096]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("given");
        std::fs::write(&file, &good).unwrap();
        scenario.image = UpdateImage { file: Some(file.clone()), ..UpdateImage::default() };
        assert_eq!(update_image(&scenario, 3).unwrap().1.as_deref(), Some("1.5.07"), "the file has its version");
        std::fs::write(&file, &good[..5000]).unwrap();
        assert_eq!(update_image(&scenario, 1).unwrap().1, None);
        scenario.image = UpdateImage { file: Some("/nonexistent".into()), ..UpdateImage::default() };
        assert!(update_image(&scenario, 1).unwrap_err().cause.contains("/nonexistent"));
    }
}
