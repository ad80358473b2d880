//! The files of the pages, as they are in `host/api/console`.

use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// One file.
pub(super) struct Asset {
    /// Its path below the folder.
    pub(super) name: &'static str,
    /// Its media type.
    pub(super) kind: &'static str,
    pub(super) octets: &'static [u8],
    packed: OnceLock<Bytes>,
}

impl Asset {
    const fn new(name: &'static str, octets: &'static [u8]) -> Asset {
        Asset { name, kind: kind_of(name.as_bytes()), octets, packed: OnceLock::new() }
    }

    /// Its octets by gzip, which is done once.
    pub(super) fn packed(&self) -> Bytes {
        let pack = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let written = encoder.write_all(self.octets).and_then(|()| encoder.finish());
            written.expect("writing to memory does not fail").into()
        };
        self.packed.get_or_init(pack).clone()
    }
}

/// The media type by the last letter of a name: there are three kinds of files.
const fn kind_of(name: &[u8]) -> &'static str {
    match name {
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'.', b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b's', b'v', b'g'] => "image/svg+xml",
        _ => panic!("a file of the console is js, css or svg"),
    }
}

macro_rules! assets {
    ($($name:literal)*) => {
        /// All files but the document.
        pub(super) static ASSETS: [Asset; [$($name),*].len()] =
            [$(Asset::new($name, include_bytes!(concat!("../../console/", $name)))),*];
    };
}

assets! {
    "style.css"
    "icon.svg"
    "main.js"
    "api.js"
    "dom.js"
    "words.js"
    "frame.js"
    "list.js"
    "dialog.js"
    "plot.js"
    "plan.js"
    "story.js"
    "pages/login.js"
    "pages/overview.js"
    "pages/messages.js"
    "pages/message.js"
    "pages/queue.js"
    "pages/sites.js"
    "pages/bounces.js"
    "pages/streams.js"
    "pages/suppression.js"
    "pages/templates.js"
    "pages/template.js"
    "pages/domains.js"
    "pages/domain.js"
    "pages/webhooks.js"
    "pages/plugins.js"
    "pages/shaping.js"
    "pages/audit.js"
    "pages/access.js"
    "pages/account.js"
}

/// Another one whenever a file is another one: what a browser keeps under it stays right.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Context::new(&SHA256);
    for asset in &ASSETS {
        digest.update(asset.name.as_bytes());
        digest.update(asset.octets);
    }
    digest.finish().as_ref().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
});

/// The document, which names the files by their version. All scripts are announced, so that they are fetched at once.
pub(super) static INDEX: LazyLock<String> = LazyLock::new(|| {
    let scripts = ASSETS.iter().filter(|asset| asset.name.ends_with(".js"));
    let preload: String = scripts
        .map(|asset| {
            format!("<link rel=\"modulepreload\" href=\"/console/assets/{{version}}/{}\">\n", asset.name)
        })
        .collect();
    include_str!("../../console/index.html").replace("{preload}\n", &preload).replace("{version}", &VERSION)
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let mut there = BTreeSet::new();
        for place in ["", "pages"] {
            for entry in std::fs::read_dir(folder.join(place)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    there.insert(Path::new(place).join(entry.file_name()).display().to_string());
                }
            }
        }
        there.remove("index.html");
        let served: BTreeSet<_> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn the_document_has_no_script_and_no_style_in_it() {
        assert!(INDEX.contains(&format!("/console/assets/{}/main.js", *VERSION)));
        assert!(!INDEX.contains("{version}") && !INDEX.contains("{preload}"));
        assert!(!INDEX.contains("<style") && !INDEX.contains(" style=") && !INDEX.contains(" on"));
        assert_eq!(INDEX.matches("<script").count(), INDEX.matches("<script type=\"module\" src=").count());
    }
}
