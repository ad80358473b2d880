//! How many pages of 20 KiB are rendered a second on one core: to be run by hand.
//!
//! `cargo run --release -p baton-content --example render_rate -- [PAGES]`

use baton_content::ready;
use baton_content::template::{Library, Limits};
use baton_mail::SystemClock;
use serde_json::json;

/// Articles of a digest, so many that it has 20 KiB.
const ARTICLES: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pages: u32 = std::env::args().nth(1).map_or(Ok(20_000), |text| text.parse())?;
    let mut library = Library::new(Limits::default());
    let mut template = ready::get("ready/digest").ok_or("the digest ships")?.clone();
    template.text = Some("{{ headline }}\n{{ unsubscribe_url }}\n".to_owned());
    library.put(&"digest".parse()?, &template)?;
    let mut data = template.sample.as_object().cloned().unwrap_or_default();
    let article = json!({"title": "A title of usual length", "summary": "Words & <words>. ".repeat(14), "url": "https://acme.example/a?b=1&c=2"});
    data.insert("articles".to_owned(), vec![article; ARTICLES].into());
    let data = data.into();

    let octets = library.render("digest", &data)?.html.unwrap_or_default().len();
    let begun = SystemClock.unix_micros();
    for _ in 0..pages {
        std::hint::black_box(library.render("digest", &data)?);
    }
    let took = SystemClock.unix_micros() - begun;
    let rate = f64::from(pages) * 1e6 / took as f64;
    println!("{pages} pages of {octets} octets, subject and text beside: {rate:.0} a second on one core");
    Ok(())
}
