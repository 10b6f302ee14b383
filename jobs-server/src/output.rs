//! What people and scripts read: lines on standard output and standard error. A reader that has gone away (`| head`)
//! is no error.

use std::io::Write;

/// One line on standard output.
pub(crate) fn line(text: &str) {
    // Nobody reads any more: nothing to do about it.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    // As above.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The line that says why the program ends without success. Always one, whatever is in `text`.
pub(crate) fn error_line(text: &str) {
    note(&format!("rr-jobs: {}", one_line(text)));
}

/// `text` with line breaks and indentation replaced by single spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
