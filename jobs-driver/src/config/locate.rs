//! Where in the text a key stands, so that errors about values can say it.
//!
//! The YAML reader gives positions for its own errors only. This is a plain walk over the indentation of a block-style
//! file; a flow-style file (`{a: {b: 1}}`) gets the position of the innermost key that stands on a line of its own.

/// Line and column (from 1) of the key that `path` leads to, or of the nearest enclosing one that can be found.
pub(crate) fn locate(text: &str, path: &[String]) -> Option<(usize, usize)> {
    let mut found = None;
    let mut from = 0;
    let mut parent_indent: Option<usize> = None;
    let lines: Vec<&str> = text.lines().collect();
    for key in path {
        let mut level: Option<usize> = None;
        let mut hit = None;
        for (number, line) in lines.iter().enumerate().skip(from) {
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let indent = line.len() - trimmed.len();
            if parent_indent.is_some_and(|parent| indent <= parent) {
                break;
            }
            let level = *level.get_or_insert(indent);
            if indent == level && is_key(trimmed, key) {
                hit = Some((number, indent));
                break;
            }
        }
        let Some((number, indent)) = hit else { break };
        found = Some((number + 1, indent + 1));
        from = number + 1;
        parent_indent = Some(indent);
    }
    found
}

fn is_key(line: &str, key: &str) -> bool {
    let Some((name, _)) = line.split_once(':') else { return false };
    name.trim().trim_matches(['"', '\'']).eq_ignore_ascii_case(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &str) -> Option<(usize, usize)> {
        locate(text, &path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_found_by_indentation() {
        let text = "# top\na:\n  x: 1\njobs:\n  consume: []\n  pipelines:\n    Mail:\n      config:\n        prefetch: many\n";
        assert_eq!(at(text, "jobs.pipelines.mail.config.prefetch"), Some((9, 9)));
        assert_eq!(at(text, "jobs.consume"), Some((5, 3)));
        assert_eq!(at(text, "jobs.x"), Some((4, 1)));
        assert_eq!(at(text, "nothing"), None);
    }
}
