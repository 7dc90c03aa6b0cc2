//! Records of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

/// One record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLine {
    /// Since boot, microseconds of guest time.
    pub time_us: u64,
    /// The message.
    pub text: String,
}

impl KernelLine {
    /// Takes `prio,seq,us,flags;text` apart; lines of key=value that may follow are left out.
    pub fn parse(record: &str) -> Option<Self> {
        let (head, text) = record.split_once(';')?;
        let time_us = head.split(',').nth(2)?.parse().ok()?;
        Some(Self { time_us, text: text.lines().next().unwrap_or_default().to_owned() })
    }

    /// Takes a line of the serial console, or of `kmsg.log`, apart; one without a time has time 0.
    pub fn parse_console(line: &str) -> Self {
        let timed = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let parsed = timed.and_then(|(time, text)| {
            let (s, us) = time.trim().split_once('.').filter(|(_, us)| us.len() == 6)?;
            // The guest may write any number here.
            let time_us = s.parse::<u64>().ok()?.saturating_mul(1_000_000).saturating_add(us.parse::<u64>().ok()?);
            Some(Self { time_us, text: text.to_owned() })
        });
        parsed.unwrap_or_else(|| Self { time_us: 0, text: line.to_owned() })
    }
}

/// As the console shows it: `[    1.234567] text`.
impl std::fmt::Display for KernelLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{:5}.{:06}] {}", self.time_us / 1_000_000, self.time_us % 1_000_000, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_a_record() {
        let line = KernelLine::parse("6,339,5140900,-;NET: hello; you\n SUBSYSTEM=net").unwrap();
        assert_eq!((line.time_us, line.text.as_str()), (5_140_900, "NET: hello; you"));
        assert_eq!(line.to_string(), "[    5.140900] NET: hello; you");
    }

    #[test]
    fn the_console_shows_the_same() {
        let line = KernelLine { time_us: 5_140_900, text: "NET: [x] hello".into() };
        assert_eq!(KernelLine::parse_console(&line.to_string()), line);
        assert_eq!(KernelLine::parse_console("SeaBIOS [x] 1").time_us, 0);
        assert_eq!(KernelLine::parse_console("[T1] y").text, "[T1] y");
    }

    #[test]
    fn no_time_of_the_guests_is_too_late() {
        for line in ["[18446744073709551615.999999] x", "[18446744073709.999999] x"] {
            assert!(KernelLine::parse_console(line).time_us > u64::MAX / 2, "{line}");
        }
        let latest = KernelLine::parse("6,1,18446744073709551615,-;x").unwrap();
        assert_eq!(latest.time_us, u64::MAX);
        assert_eq!(KernelLine::parse_console(&latest.to_string()), latest);
        assert_eq!(KernelLine::parse("6,1,18446744073709551616,-;x"), None);
    }

    #[test]
    fn cannot_read_something_else() {
        assert_eq!(KernelLine::parse("hello"), None);
        assert_eq!(KernelLine::parse("6,1,x,-;hello"), None);
    }
}
