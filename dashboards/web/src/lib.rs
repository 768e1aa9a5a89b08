//! The live page, embedded: a watchlist over MessagePack with a throttle slider.
//!
//! Plain files, no build step: what is in `assets/` is what a browser gets.

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Where it is served, beginning with `/`.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its content.
    pub body: &'static [u8],
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page at `/` and everything it loads.
pub const FILES: [File; 6] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        body: include_bytes!("../assets/index.html"),
    },
    File { path: "/app.js", content_type: JAVASCRIPT, body: include_bytes!("../assets/app.js") },
    File {
        path: "/stream.js",
        content_type: JAVASCRIPT,
        body: include_bytes!("../assets/stream.js"),
    },
    File {
        path: "/msgpack.js",
        content_type: JAVASCRIPT,
        body: include_bytes!("../assets/msgpack.js"),
    },
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        body: include_bytes!("../assets/style.css"),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        body: include_bytes!("../assets/icon.svg"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.path == path).expect(path);
        std::str::from_utf8(file.body).expect("text")
    }

    /// What stands between quotes and begins with `/`, or names a host.
    fn references(text: &str) -> impl Iterator<Item = &str> {
        let quoted = text.split('"').skip(1).step_by(2);
        quoted.filter(|inner| inner.starts_with('/') || inner.contains("://"))
    }

    #[test]
    fn the_page_loads_its_own_files_and_nothing_else() {
        for path in ["/", "/app.js", "/stream.js", "/msgpack.js"] {
            for reference in references(text(path)) {
                let served = FILES.iter().any(|file| file.path == reference);
                assert!(served, "{path} refers to {reference}");
            }
        }
        assert!(!text("/style.css").contains("url("), "styles load nothing");
    }

    #[test]
    fn nothing_is_inline_so_that_a_strict_policy_holds() {
        let page = text("/");
        for inline in ["<script>", "<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        for script in ["/app.js", "/stream.js", "/msgpack.js"] {
            for dangerous in ["innerHTML", "eval(", "new Function", "document.write"] {
                assert!(!text(script).contains(dangerous), "{script}: {dangerous}");
            }
        }
    }
}
