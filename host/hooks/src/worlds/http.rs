//! HTTP answers from a table, and what was asked.

use baton_mail::text::sanitize;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;

use crate::HttpUrl;
use crate::host::{HttpBackend, HttpError, HttpRequest, HttpResponse};

/// Octets of a URL in an error's words.
const URL_OCTETS_MAX: usize = 256;

/// Servers that answer what is put into it. Answers to the same request come one after the other; the last one stays.
#[derive(Debug, Default)]
pub struct HttpTable(Mutex<Exchanges>);

#[derive(Debug, Default)]
struct Exchanges {
    answers: Vec<Answer>,
    asked: Vec<String>,
}

#[derive(Debug)]
struct Answer {
    request: String,
    given: bool,
    result: Result<HttpResponse, HttpError>,
}

impl HttpTable {
    /// What is answered to a request of that method and URL.
    pub fn put(&self, method: &str, url: &str, result: Result<HttpResponse, HttpError>) {
        let url = HttpUrl::parse(url).map_or_else(|_| url.to_owned(), |url| url.to_string());
        let request = format!("{} {url}", method.to_ascii_uppercase());
        self.0.lock().answers.push(Answer { request, given: false, result });
    }

    /// All requests since this was asked last: `METHOD URL`.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().asked)
    }

    /// Forgets all answers and requests.
    pub fn clear(&self) {
        *self.0.lock() = Exchanges::default();
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = format!("{} {}", request.method, request.url);
        let mut exchanges = self.0.lock();
        exchanges.asked.push(asked.clone());
        let fits = |answer: &&mut Answer| answer.request == asked;
        let next = exchanges.answers.iter().position(|answer| answer.request == asked && !answer.given);
        let answer = match next {
            Some(index) => exchanges.answers.get_mut(index),
            None => exchanges.answers.iter_mut().rev().find(fits),
        };
        let Some(answer) = answer else {
            let shown = sanitize(&asked, URL_OCTETS_MAX);
            return Err(HttpError::Failed(format!("nobody answers {shown} in this world")));
        };
        answer.given = true;
        let result = answer.result.clone()?;
        if result.body.len() > request.response_octets_max { Err(HttpError::TooLarge) } else { Ok(result) }
    }
}

impl HttpBackend for HttpTable {
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        request: HttpRequest,
    ) -> BoxFuture<'a, Result<HttpResponse, HttpError>> {
        ready(self.answer(&request)).boxed()
    }
}
