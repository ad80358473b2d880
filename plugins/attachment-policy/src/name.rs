//! File names: as they would be shown and opened, their extensions, and patterns.

/// Extensions of files that run when they are opened, on one of the common systems.
const EXECUTABLE: &[&str] = &[
    "ade",
    "adp",
    "apk",
    "app",
    "appinstaller",
    "application",
    "appref-ms",
    "appx",
    "appxbundle",
    "bat",
    "chm",
    "cmd",
    "com",
    "command",
    "cpl",
    "dll",
    "dmg",
    "exe",
    "gadget",
    "hlp",
    "hta",
    "inf",
    "ins",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "lib",
    "lnk",
    "mde",
    "msc",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "nsh",
    "pif",
    "pkg",
    "ps1",
    "ps1xml",
    "ps2",
    "psc1",
    "psd1",
    "psm1",
    "reg",
    "scf",
    "scr",
    "sct",
    "settingcontent-ms",
    "shb",
    "shs",
    "sys",
    "url",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vhdx",
    "vxd",
    "wsc",
    "wsf",
    "wsh",
    "xll",
];
/// Extensions of documents that may carry macros.
const MACRO: &[&str] =
    &["docm", "dotm", "ppam", "potm", "ppsm", "pptm", "sldm", "xlam", "xlm", "xlsb", "xlsm", "xltm", "one"];
/// Extensions of archives.
const ARCHIVE: &[&str] = &[
    "7z", "ace", "arc", "arj", "bz2", "cab", "gz", "lha", "lz", "lzh", "rar", "tar", "tbz", "tgz", "txz",
    "xz", "z", "zip", "zipx", "zst",
];
/// Extensions of disk images, which systems open like folders.
const DISK_IMAGE: &[&str] = &["dmg", "img", "iso", "udf", "vhd", "vhdx", "vmdk"];
/// Extensions that people take for harmless, in front of another one.
const HARMLESS: &[&str] = &[
    "avi", "bmp", "csv", "doc", "docx", "eml", "gif", "htm", "html", "jpeg", "jpg", "mov", "mp3", "mp4",
    "odt", "pdf", "png", "ppt", "pptx", "rtf", "tif", "tiff", "txt", "wav", "xls", "xlsx", "xml",
];

/// The extensions of a group such as `@executable`; none when there is no such group.
pub(crate) fn group(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "@executable" => Some(EXECUTABLE),
        "@macro" => Some(MACRO),
        "@archive" => Some(ARCHIVE),
        "@disk-image" => Some(DISK_IMAGE),
        _ => None,
    }
}

/// The name in lower case as a system would open it: without folders, invisible characters (which turn or hide what
/// is shown), and the dots and blanks at its end that Windows ignores.
pub(crate) fn opened(filename: &str) -> String {
    let visible: String = filename.chars().filter(|character| !is_invisible(*character)).collect();
    let last = visible.rsplit(['/', '\\']).next().unwrap_or_default();
    last.trim_end_matches(['.', ' ']).trim_start().to_lowercase()
}

/// Control characters, marks of writing direction, joiners and the byte order mark.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The last extension of an opened name.
pub(crate) fn extension(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension.trim()).filter(|extension| !extension.is_empty())
}

/// True for `invoice.pdf.exe`: something that runs behind something that looks harmless, blanks between them or not.
pub(crate) fn is_disguised(name: &str) -> bool {
    let mut extensions = name.rsplit('.').map(str::trim);
    let (last, before) = (extensions.next().unwrap_or_default(), extensions.next().unwrap_or_default());
    extensions.next().is_some()
        && HARMLESS.contains(&before)
        && (EXECUTABLE.contains(&last) || MACRO.contains(&last))
}

/// What may be told to a peer: the name without folders, in printable ASCII, at most 60 characters.
pub(crate) fn shown(filename: Option<&str>) -> String {
    let Some(filename) = filename else { return "without name".to_owned() };
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars()
        .take(60)
        .map(|character| if matches!(character, ' '..='~') { character } else { '?' })
        .collect()
}

/// True when the pattern, with `*` for any text and `?` for one character, is all of the text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut in_text) = (0, 0);
    // Where the last star stands, and how far the text is that it takes.
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some('?') => (at, in_text) = (at + 1, in_text + 1),
            Some(character) if text.get(in_text) == Some(character) => (at, in_text) = (at + 1, in_text + 1),
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    (at, in_text) = (star_at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_they_are_opened() {
        assert_eq!(opened("C:\\temp\\Invoice.EXE. . "), "invoice.exe");
        assert_eq!(opened("../../etc/run.sh"), "run.sh");
        assert_eq!(opened("ann\u{202e}fdp.exe"), "annfdp.exe");
        assert_eq!(opened("a.e\u{200b}xe\u{0}"), "a.exe");
        assert_eq!((extension("a.tar.gz"), extension("README"), extension("x.")), (Some("gz"), None, None));
    }

    #[test]
    fn only_a_runnable_file_behind_a_harmless_name_is_disguised() {
        for (name, expected) in [
            ("invoice.pdf.exe", true),
            ("invoice.pdf      .exe", true),
            ("photo.jpg.docm", true),
            ("backup.tar.gz", false),
            ("setup.exe", false),
            ("v1.2.exe", false),
            (".pdf.exe", true),
            ("pdf.exe", false),
        ] {
            assert_eq!(is_disguised(name), expected, "{name}");
        }
    }

    #[test]
    fn patterns_match_all_of_the_name() {
        for (pattern, name, expected) in [
            ("*.exe", "a.exe", true),
            ("*.exe", "a.exe.txt", false),
            ("invoice*.do?", "invoice 7.doc", true),
            ("invoice*.do?", "invoice.docx", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab ba", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_told_is_plain() {
        assert_eq!(shown(Some("gr\u{f6}\u{df}e\r\n.exe")), "gr??e??.exe");
        assert_eq!(shown(None), "without name");
        assert_eq!(shown(Some(&"x".repeat(100))).len(), 60);
    }
}
