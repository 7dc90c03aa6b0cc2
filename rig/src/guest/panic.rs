//! Why a guest's kernel went down, by what it said last on its console.

/// The line of a console that says why the kernel panicked.
pub fn panic_line(console: &str) -> Option<String> {
    let signs = ["Kernel panic - not syncing", "BUG: ", "Oops: ", "triple fault"];
    let line = signs.iter().find_map(|sign| console.lines().find(|line| line.contains(sign)))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_is_found_on_the_console() {
        let console = "[ 1.0] hello\n[ 1.2] Kernel panic - not syncing: Fatal exception\n[ 1.3] end";
        assert_eq!(panic_line(console).as_deref(), Some("[ 1.2] Kernel panic - not syncing: Fatal exception"));
        assert_eq!(panic_line("all is well"), None);
    }
}
