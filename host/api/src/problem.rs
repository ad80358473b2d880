//! Errors as the interface tells them: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The parameter, body member or settings key.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Problem {
    /// A field of the request that can not be understood: 400.
    pub fn field(field: &str, message: impl Into<String>) -> Problem {
        let error = FieldError { field: field.to_owned(), message: message.into() };
        Problem {
            title: "The request is not valid".to_owned(),
            status: 400,
            detail: format!("{}: {}", error.field, error.message),
            errors: vec![error],
        }
    }

    /// It is not for whoever asks: 403.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem { title: "Not allowed".to_owned(), status: 403, detail: detail.into(), errors: Vec::new() }
    }

    /// The thing asked for does not exist: 404.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem { title: "Not found".to_owned(), status: 404, detail: detail.into(), errors: Vec::new() }
    }

    /// It is there already: 409.
    pub fn conflict(detail: impl Into<String>) -> Problem {
        Problem {
            title: "It is there already".to_owned(),
            status: 409,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Something else goes on with it: 409.
    pub fn busy(detail: impl Into<String>) -> Problem {
        Problem { title: "Not just now".to_owned(), status: 409, detail: detail.into(), errors: Vec::new() }
    }

    /// The settings were refused, with all the reasons: 422.
    pub fn settings(errors: Vec<FieldError>) -> Problem {
        Problem {
            title: "The settings are not valid".to_owned(),
            status: 422,
            detail: "nothing was changed; the relay goes on with the settings it has".to_owned(),
            errors,
        }
    }

    /// The relay can not do it now: 503.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem { title: "Not available".to_owned(), status: 503, detail: detail.into(), errors: Vec::new() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
