//! Lines and columns of a text as offsets into it.

use crate::list::Position;

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// The lines of `text`.
    pub fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        Self { text, starts }
    }

    /// The offset in bytes of a place. None if the text has no such line or column.
    pub fn offset(&self, place: Position) -> Option<usize> {
        let start = *self.starts.get(place.line.checked_sub(1)?)?;
        let before = place.column.checked_sub(1)?;
        let mut characters = self.text[start..].char_indices();
        let found = characters.nth(before).map(|(index, _)| start + index);
        // The end of the last line is a place, too.
        found.or_else(|| (self.text[start..].chars().count() == before).then_some(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_offsets_bytes() {
        let lines = Lines::of("a\nµb\n");
        let offset = |line, column| lines.offset(Position { line, column });
        assert_eq!(offset(1, 1), Some(0));
        assert_eq!(offset(2, 1), Some(2));
        assert_eq!(offset(2, 2), Some(4));
        assert_eq!(offset(3, 1), Some(6));
        assert_eq!(offset(4, 1), None);
        assert_eq!(offset(0, 1), None);
    }
}
