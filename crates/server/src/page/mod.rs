//! The pages: to try the model with, and to read about the API. Each is one file that loads nothing else.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use utoipa::IntoResponses;

static INDEX: LazyLock<Page> = LazyLock::new(|| Page::new(include_str!("index.html")));
static DOCS: LazyLock<Page> = LazyLock::new(|| Page::new(include_str!("docs.html")));

/// What browsers are answered.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the API's description")]
enum PageResponses {
    /// The page
    #[response(status = 200, content_type = "text/html")]
    Page(String),
    /// It is the one that is known
    #[response(status = 304)]
    Known,
}

/// A page to try the model with.
#[utoipa::path(get, path = "/", tag = "server", responses(PageResponses))]
pub(super) async fn index(headers: HeaderMap) -> Response {
    INDEX.response(&headers)
}

/// A page about the API.
#[utoipa::path(get, path = "/docs", tag = "server", responses(PageResponses))]
pub(super) async fn docs(headers: HeaderMap) -> Response {
    DOCS.response(&headers)
}

struct Page {
    html: &'static str,
    content_security_policy: String,
    etag: String,
}

impl Page {
    fn new(html: &'static str) -> Page {
        let (script, style) = (hash(between(html, "script")), hash(between(html, "style")));
        Page {
            html,
            // The one script and the one style sheet of the page, this server, and nothing else.
            content_security_policy: format!(
                "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'"
            ),
            etag: format!("\"{}\"", hash(html)),
        }
    }

    fn response(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, &*self.content_security_policy),
            (header::ETAG, &self.etag),
            // Asked about each time: another version of the server has another page.
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            // All of it is visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        let known = request.get(header::IF_NONE_MATCH);
        if known.is_some_and(|etag| etag.as_bytes() == self.etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, Html(self.html)).into_response()
    }
}

/// As Content-Security-Policy has it.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// What is in the page's one element of that name.
fn between(html: &'static str, name: &str) -> &'static str {
    let begin = format!("<{name}>");
    let rest = html.split_once(&*begin).map_or("", |(_, rest)| rest);
    rest.split_once(&*format!("</{name}>")).map_or("", |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_script_and_one_style_sheet_of_its_own() {
        for html in [include_str!("index.html"), include_str!("docs.html")] {
            for name in ["script", "style"] {
                assert_eq!(html.matches(&format!("<{name}")).count(), 1);
                assert!(between(html, name).len() > 100);
            }
            assert!(!html.contains(" style=\"") && !html.contains("innerHTML"));
        }
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
