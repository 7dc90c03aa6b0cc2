//! Marks in the kernel's own log around each update of a guest that makes many: they show which update a line belongs to,
//! in the order in which the kernel wrote them, however late the line reaches the rig.

use crate::guest::KernelLine;

/// The line behind all that the kernel said in a guest that did all its updates.
pub(crate) const END_OF_GUEST: &str = "seamrig: end of the guest";
const BEGINS: &str = "seamrig: begin of update ";
const ENDS: &str = "seamrig: end of update ";

/// The line that says that update `number`, from 1, begins.
pub(crate) fn begin(number: u32) -> String {
    format!("{BEGINS}{number}")
}

/// The line that says that update `number`, from 1, ended.
pub(crate) fn end(number: u32) -> String {
    format!("{ENDS}{number}")
}

/// The update whose end this text of a log line marks, if it is such a mark.
pub(crate) fn update_of_end_mark(text: &str) -> Option<u64> {
    text.strip_prefix(ENDS)?.parse().ok()
}

/// The update, from 1, during which the first line with which `words` end was written: behind the mark of its begin and before
/// that of its end. None: before the first update, between two, behind the last, or no such line.
pub(crate) fn update_of(log: &str, words: &str) -> Option<u32> {
    let mut under_way = None;
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let text = KernelLine::parse_console(line).text;
        if let Some(number) = text.strip_prefix(BEGINS) {
            under_way = number.parse().ok();
        } else if update_of_end_mark(&text).is_some() {
            under_way = None;
        } else if words.ends_with(line) {
            return under_way;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's log with marks as the rig's log has them, around these lines.
    fn log(lines: &[&str]) -> String {
        let line = |text: &&str| KernelLine { time_us: 1_234_567, text: (*text).to_owned() }.to_string() + "\n";
        lines.iter().map(line).collect()
    }

    const WARNING: &str = "WARNING: CPU: 1 PID: 7 at kernel/x.c:1";

    #[test]
    fn a_line_belongs_to_the_update_between_whose_marks_it_stands() {
        let [begin_1, end_1, begin_2, end_2] = [begin(1), end(1), begin(2), end(2)];
        assert_eq!(
            (update_of_end_mark(&end_2), update_of_end_mark(&begin_2), update_of_end_mark("seamrig: end of update x")),
            (Some(2), None, None)
        );
        let breach = format!("the console says: {}", log(&[WARNING]).trim());
        let with = |at: usize| {
            let mut lines = vec![begin_1.as_str(), &end_1, &begin_2, &end_2];
            lines.insert(at, WARNING);
            update_of(&log(&lines), &breach)
        };
        assert_eq!([0, 1, 2, 3, 4].map(with), [None, Some(1), None, Some(2), None]);
        assert_eq!(update_of(&log(&[&begin_1, WARNING]), &breach), Some(1), "the guest ended in it");
        assert_eq!(update_of(&log(&[&begin_1, ""]), &breach), None, "no such line");
    }
}
