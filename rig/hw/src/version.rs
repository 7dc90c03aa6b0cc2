//! Versions as firmware counts them: major.minor.update.

use std::fmt;
use std::str::FromStr;

/// A version of the TDX module or of P-SEAMLDR. sysfs and file names write the update with two digits at least
/// (`TDX_VERSION_FMT` of Linux 7.3's `arch/x86/include/asm/tdx.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes with the interface.
    pub major: u16,
    /// Likewise.
    pub minor: u16,
    /// Changes with each release of a series.
    pub update: u16,
}

impl Version {
    /// Whether both belong to one series: the same major and minor version.
    pub fn is_series_of(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:02}", self.major, self.minor, self.update)
    }
}

/// The text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version such as 1.5.06")]
pub struct NoVersion(pub String);

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let no = || NoVersion(text.to_owned());
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<u16> = text
            .split('.')
            .map(|part| part.parse().ok().filter(|_| digits(part)))
            .collect::<Option<_>>()
            .ok_or_else(no)?;
        let [major, minor, update] = parts[..] else { return Err(no()) };
        Ok(Self { major, minor, update })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_and_print_as_sysfs_does() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version("1.5.06").to_string(), "1.5.06");
        assert_eq!(version("2.0.112").to_string(), "2.0.112");
        assert!(version("1.5.9") < version("1.5.10") && version("1.5.34") < version("2.0.02"));
        assert!(
            version("1.5.01").is_series_of(version("1.5.34")) && !version("1.5.01").is_series_of(version("2.0.01"))
        );
    }

    #[test]
    fn cannot_read_what_is_no_version() {
        for text in ["", "1.5", "1.5.06.1", "1.5.x", "1.-5.6", "1.5.+6", "1.5.99999", "v1.5.06"] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion(text.to_owned())), "{text}");
        }
    }
}
