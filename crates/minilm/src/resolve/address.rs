//! Addresses: redirects, whom they lead to, and how they are shown.

use ureq::http::Uri;

/// The address a `Location` header stands for.
pub(super) fn absolute(base: &str, location: &str) -> String {
    let scheme_end = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[scheme_end..].find('/').map_or(base.len(), |at| scheme_end + at);
    let is_scheme =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if location.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme)) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{}{location}", &base[..scheme_end.saturating_sub(2)])
    } else if location.starts_with('/') {
        format!("{}{location}", &base[..host_end])
    } else {
        let path = base.split(['?', '#']).next().unwrap_or(base);
        let folder = path.rfind('/').map_or(path, |at| &path[..at]);
        format!("{folder}/{location}")
    }
}

/// Scheme, host and port of an address, if it has them.
pub(super) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let default_port = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(default_port);
    Some((uri.scheme_str()?.to_owned(), uri.host()?.to_ascii_lowercase(), port))
}

/// An address without its query, which in a redirect to storage is a key to the file.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}

/// Text made fit for a path; a slash becomes `%2F` unless it is kept.
pub(super) fn percent_encoded(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_should() {
        let base = "https://h:1/a/b?c/d";
        for (location, expected) in [
            ("/x?y", "https://h:1/x?y"),
            ("/x?y=http://z", "https://h:1/x?y=http://z"),
            ("x", "https://h:1/a/x"),
            ("//other/x", "https://other/x"),
            ("http://other/x", "http://other/x"),
        ] {
            assert_eq!(absolute(base, location), expected);
        }
        assert_eq!(absolute("https://h", "/x"), "https://h/x");
    }

    #[test]
    fn hosts_are_told_apart() {
        assert_eq!(origin("https://Hub.example/x"), origin("https://hub.example:443/y?z"));
        for other in ["http://h/", "https://h:444/", "https://h.evil/", "https://evil/h"] {
            assert_ne!(origin("https://h/"), origin(other), "{other}");
        }
        // The host is what follows the `@`.
        assert_ne!(origin("https://h@evil/"), origin("https://h/"));
        assert_eq!(origin("ftp://h/"), None);
        assert_eq!(origin("file:///etc/passwd"), None);
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(percent_encoded("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(percent_encoded("1 ü/config.json", true), "1%20%C3%BC/config.json");
    }
}
