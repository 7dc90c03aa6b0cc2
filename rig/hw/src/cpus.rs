//! Lists of CPUs as the kernel writes them: `0-3,5` (Documentation/admin-guide/cputopology.rst).

/// The CPUs of a list; none if it is no list.
pub fn parse(list: &str) -> Option<Vec<u16>> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(from.parse::<u16>().ok()?..=to.parse::<u16>().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse("0-3,5\n"), Some(vec![0, 1, 2, 3, 5]));
        assert_eq!(parse("0"), Some(vec![0]));
        assert_eq!(parse(""), Some(vec![]));
        assert_eq!(parse("0-x"), None);
    }
}
