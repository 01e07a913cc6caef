//! Just enough of Rust's grammar to see which paths a file names. Comments and literals name
//! nothing; what a macro makes up is not seen.

/// A word or a sign of the source; `::` is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// Counted from 1.
    pub line: usize,
    /// As written.
    pub text: &'a str,
}

/// A path as it would stand if every `use` were written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Where its first word stands.
    pub line: usize,
    /// The words between the `::`.
    pub words: Vec<&'a str>,
    /// How many `mod name { ... }` it stands in.
    pub inside: usize,
}

/// The words and signs of a file.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (length, counts) = lexeme(rest);
        let (piece, after) = rest.split_at(length);
        if counts {
            tokens.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// The paths of two and more words, and the single words that `use` brings in.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Named<'a>> {
    let mut found = Vec::new();
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
        match token.text {
            "{" => blocks.push(before(2) == "mod"),
            "}" => _ = blocks.pop(),
            // What stands behind a `>::` belongs to a type that was seen already.
            word if is_word(word) && !(before(1) == "::" && ends_a_type(before(2))) => {
                let inside = blocks.iter().filter(|is_module| **is_module).count();
                let from = found.len();
                let is_use = before(1) == "use";
                at = tree(
                    tokens,
                    at,
                    &Named { line: token.line, words: vec![], inside },
                    &mut found,
                );
                if !is_use && found[from..].iter().all(|path| path.words.len() < 2) {
                    found.truncate(from);
                }
                continue;
            }
            _ => (),
        }
        at += 1;
    }
    found
}

/// The lines that wait for a future.
pub fn awaits(tokens: &[Token<'_>]) -> Vec<usize> {
    let waits = |pair: &&[Token<'_>]| pair[0].text == "." && pair[1].text == "await";
    tokens.windows(2).filter(waits).map(|pair| pair[1].line).collect()
}

/// Reads one path, or the tree of a `use`, from `at` on; answers where it ends.
fn tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    start: &Named<'a>,
    found: &mut Vec<Named<'a>>,
) -> usize {
    let mut path = start.clone();
    while let Some(token) = tokens.get(at) {
        let text = token.text;
        if text == "{" {
            return branches(tokens, at + 1, &path, found);
        }
        if !is_word(text) && text != "*" {
            break;
        }
        path.words.push(text);
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// Reads what stands between `{` and `}` of a `use`.
fn branches<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    stem: &Named<'a>,
    found: &mut Vec<Named<'a>>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "as" => at += 2,
            word if is_word(word) || word == "*" => {
                at = tree(tokens, at, &Named { line: token.line, ..stem.clone() }, found);
            }
            _ => at += 1,
        }
    }
    at
}

/// How long the next piece of the text is, and whether it is more than space, comment or literal.
fn lexeme(rest: &str) -> (usize, bool) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if let Some(length) = raw_string(rest) {
        return (length, false);
    }
    if rest.starts_with('"') {
        return (string(rest), false);
    }
    if let Some(length) = character(rest) {
        return (length, false);
    }
    if rest.starts_with("::") {
        return (2, true);
    }
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (word.max(first), !rest.starts_with(char::is_whitespace))
}

/// Such comments may hold others.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// `r"..."` and `br#"..."#`, when it is one.
fn raw_string(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let quoted = body.trim_start_matches('#');
    let hashes = &body[..body.len() - quoted.len()];
    let inner = quoted.strip_prefix('"')?;
    let end = format!("\"{hashes}");
    let closed = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(rest.len() - inner.len() + closed)
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => (),
        }
    }
    rest.len()
}

/// `'x'` and `'\n'`; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let mut letters = inner.char_indices();
    let (_, first) = letters.next()?;
    if first == '\\' {
        letters.next()?;
    }
    let closed = if first == '\\' {
        letters.find(|(_, letter)| *letter == '\'')
    } else {
        letters.next().filter(|(_, letter)| *letter == '\'')
    };
    closed.map(|(at, _)| at + 2)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn ends_a_type(text: &str) -> bool {
    is_word(text) || text == ">"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        paths(&tokens(text)).into_iter().map(|path| path.words.join("::")).collect()
    }

    #[test]
    fn a_use_is_written_out() {
        let text = "use a::{self, b::{c, d as e}, f::*};\nuse g;\npub(crate) use h::i as j;";
        assert_eq!(named(text), ["a::self", "a::b::c", "a::b::d", "a::f::*", "g", "h::i"]);
    }

    #[test]
    fn paths_of_expressions_and_types_are_seen() {
        let text = "fn f(x: &std::fs::File) -> u8 { ::a::b(Vec::<c::D>::new(), <E as g::H>::I) }";
        assert_eq!(named(text), ["std::fs::File", "a::b", "c::D", "g::H"]);
    }

    #[test]
    fn comments_and_literals_name_nothing() {
        for text in [
            "// a::b",
            "/// see [`a::b`]\n",
            "/* a::b /* c::d */ e::f */",
            r#""a::b \" c::d""#,
            r###"r#"a::b "c::d""#"###,
            r##"br"a::b""##,
            r"'\'' '\\' '\u{1F514}'",
            "f('\"', x)",
        ] {
            assert_eq!(named(text), [""; 0], "{text}");
        }
        assert_eq!(named("fn f<'a>(x: &'a a::B, c: char) { c == '\"'; c::d() }"), ["a::B", "c::d"]);
    }

    #[test]
    fn lines_modules_and_awaits_are_counted() {
        let text = "mod a {\n use b::c;\n fn f() { d::e()\n .await }\n}\nuse g::h;";
        let tokens = tokens(text);
        let seen: Vec<_> = paths(&tokens).iter().map(|path| (path.line, path.inside)).collect();
        assert_eq!(seen, [(2, 1), (3, 1), (6, 0)]);
        assert_eq!(awaits(&tokens), [4]);
    }
}
