//! Errors as the interface tells them: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The parameter, body member or settings key.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This case in words.
    pub detail: String,
    /// The fields at fault; empty when it is not about a field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// When to ask again, in seconds, where time cures it: also in `Retry-After` (RFC 9110 10.2.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    fn new(status: u16, title: &str, detail: impl Into<String>) -> Problem {
        Problem {
            title: title.to_owned(),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// A field of the request that can not be understood: 400.
    pub fn field(field: &str, message: impl Into<String>) -> Problem {
        Problem::of_field(400, "The request is not valid", field, message)
    }

    /// A field that is understood, and can not be done: 422.
    pub fn unfit(field: &str, message: impl Into<String>) -> Problem {
        Problem::of_field(422, "The request can not be done", field, message)
    }

    fn of_field(status: u16, title: &str, field: &str, message: impl Into<String>) -> Problem {
        let error = FieldError { field: field.to_owned(), message: message.into() };
        let detail = format!("{}: {}", error.field, error.message);
        Problem { errors: vec![error], ..Problem::new(status, title, detail) }
    }

    /// Several fields that can not be done: 422.
    pub fn unfit_fields(errors: Vec<FieldError>) -> Problem {
        let first = errors.first().map(|error| format!("{}: {}", error.field, error.message));
        let detail = first.unwrap_or_default();
        Problem { errors, ..Problem::new(422, "The request can not be done", detail) }
    }

    /// Nobody who is known asks: 401.
    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        Problem::new(401, "Who are you?", detail)
    }

    /// Whoever asks may not: 403.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(403, "Not allowed", detail)
    }

    /// The thing asked for does not exist: 404.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(404, "Not found", detail)
    }

    /// There is such a path, and nothing that this method does: 405.
    pub fn no_method() -> Problem {
        Problem::new(405, "No such method", "this path knows other methods; see /v1/openapi.json")
    }

    /// The request did not come in time: 408.
    pub fn late() -> Problem {
        Problem::new(408, "Too late", "the request did not come in time")
    }

    /// It is there already: 409.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem::new(409, "It is there already", detail)
    }

    /// Something else goes on with it: 409.
    pub fn busy(detail: impl Into<String>) -> Problem {
        Problem::new(409, "Not just now", detail)
    }

    /// The body is larger than it may be: 413.
    pub fn too_large(octets_max: usize) -> Problem {
        Problem::new(413, "Too large", format!("a body of this request has {octets_max} octets at most"))
    }

    /// The body is of a kind that is not taken here: 415.
    pub fn unsupported(detail: impl Into<String>) -> Problem {
        Problem::new(415, "Not of a kind that is taken", detail)
    }

    /// Too many requests: 429.
    pub fn too_many(detail: impl Into<String>) -> Problem {
        Problem::new(429, "Too many requests", detail)
    }

    /// The settings were refused, with all the reasons: 422.
    pub fn settings(errors: Vec<FieldError>) -> Problem {
        let detail = "nothing was changed; the relay goes on with the settings it has";
        Problem { errors, ..Problem::new(422, "The settings are not valid", detail) }
    }

    /// The relay can not do it now: 503.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(503, "Not available", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
