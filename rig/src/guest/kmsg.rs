//! Records of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

/// One record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLine<'a> {
    /// Since boot, microseconds of guest time.
    pub time_us: u64,
    /// The message.
    pub text: &'a str,
}

impl<'a> KernelLine<'a> {
    /// Takes `prio,seq,us,flags;text` apart; lines of key=value that may follow are left out.
    pub fn parse(record: &'a str) -> Option<Self> {
        let (head, text) = record.split_once(';')?;
        let time_us = head.split(',').nth(2)?.parse().ok()?;
        Some(Self { time_us, text: text.lines().next().unwrap_or_default() })
    }
}

/// As the console shows it: `[    1.234567] text`.
impl std::fmt::Display for KernelLine<'_> {
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
        assert_eq!((line.time_us, line.text), (5_140_900, "NET: hello; you"));
        assert_eq!(line.to_string(), "[    5.140900] NET: hello; you");
    }

    #[test]
    fn cannot_read_something_else() {
        assert_eq!(KernelLine::parse("hello"), None);
        assert_eq!(KernelLine::parse("6,1,x,-;hello"), None);
    }
}
