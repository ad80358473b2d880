//! One route: who may ask for it, and who answers.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::MethodFilter;
use axum::routing::{MethodRouter, on};
use baton_mail::tenant::Scope;

use super::Face;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Everybody, without a token.
    Nothing,
    /// A token with this scope.
    Scope(Scope),
    /// A token with the scope `admin` that is no tenant's, or a person who sees all of the relay: who looks may have any
    /// role, and who changes something runs the mail.
    Run,
    /// A token with the scope `admin` that is no tenant's, or a person with that role.
    Relay,
}

/// What bodies a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Small ones.
    Small,
    /// As large as the settings allow.
    Large,
    /// Read piece by piece by the handler, which has bounds of its own.
    Streamed,
}

/// One route.
pub(crate) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// The admin socket has it too.
    pub(super) on_socket: bool,
    pub(super) body: Bodies,
    pub(super) handler: MethodRouter<Face>,
}

impl Route {
    /// A route with a small body, on the admin socket too.
    pub(crate) fn new<H, T>(method: Method, path: &'static str, need: Need, handler: H) -> Route
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the table has methods of HTTP only");
        let handler = on(filter, handler);
        Route { method, path, need, on_socket: true, body: Bodies::Small, handler }
    }

    /// As [`Route::new`], to read something.
    pub(crate) fn get<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
    where
        H: Handler<T, Face>,
        T: 'static,
    {
        Route::new(Method::GET, path, Need::Scope(scope), handler)
    }

    /// With a body as large as the settings allow.
    pub(crate) fn large(self) -> Route {
        Route { body: Bodies::Large, ..self }
    }

    /// With a body that is read piece by piece.
    pub(crate) fn streamed(self) -> Route {
        Route { body: Bodies::Streamed, ..self }
    }

    /// Not on the admin socket, which has something else there.
    pub(crate) fn public_only(self) -> Route {
        Route { on_socket: false, ..self }
    }
}
