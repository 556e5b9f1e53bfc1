//! Characters that must not reach a log, a terminal or a page as they are.

/// Whether a character is obeyed by a terminal, or changes how others are shown, or shows nothing
/// itself: control characters, zero widths, marks of direction, separators of lines, tags.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}
