//! Who may ask a host, and for what: tokens, the roles that they carry, and what becomes of those who
//! guess.
//!
//! ```text
//! tokens.toml ── file ──> Tokens ── identify(secret, now) ──> Principal (who, whose, role)
//! ```
//!
//! Knows no routes: what each asks for stands with them (`api::routes`). A secret is shown once,
//! when it is made; everything here keeps its SHA-256 alone.

pub mod file;
pub mod penalty;
pub mod token;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::job::names::{TenantId, TokenId};
use crate::time::Timestamp;
use token::{Hash, Token};

/// Tokens that a file may hold.
pub const MAX_TOKENS: usize = 10_000;

/// What a token may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Makes, changes and removes jobs; runs, pauses, resumes and cancels.
    Operator,
    /// Puts plugins, approves what they ask for, and reads who did what.
    Admin,
}

impl Role {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role as files and JSON write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Somebody on this machine, at a host without tokens: may do everything but grant.
    Local,
    /// Whoever has this token.
    Token {
        /// Which.
        id: TokenId,
        /// Whose things it sees; `None`: everybody's.
        tenant: Option<TenantId>,
        /// What it may do.
        role: Role,
    },
}

impl Principal {
    /// The one tenant that is seen; `None`: all are.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Local => None,
            Self::Token { tenant, .. } => tenant.as_ref(),
        }
    }

    /// Whether what asks for `role` may be done.
    pub fn may(&self, wanted: Role) -> bool {
        match self {
            Self::Local => true,
            Self::Token { role, .. } => wanted <= *role,
        }
    }
}

/// `local`, or `token ID`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Token { id, .. } => write!(f, "token {id}"),
        }
    }
}

/// Why what was given is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none of them: never made, or revoked, or its secret is another.
    Unknown,
    /// It was one until then. Only said to those who know its secret.
    Expired(TokenId, Timestamp),
}

/// All tokens of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<TokenId, Token>);

impl Tokens {
    /// These; of two with one id the last.
    pub fn new(tokens: impl IntoIterator<Item = Token>) -> Self {
        Self(tokens.into_iter().map(|token| (token.id.clone(), token)).collect())
    }

    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.values()
    }

    /// The token of this id.
    pub fn get(&self, id: &TokenId) -> Option<&Token> {
        self.0.get(id)
    }

    /// The same with one more.
    pub fn with(mut self, token: Token) -> Self {
        self.0.insert(token.id.clone(), token);
        self
    }

    /// The same without this one.
    pub fn without(mut self, id: &TokenId) -> Self {
        self.0.remove(id);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then nobody may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `who` may still ask at `now`, as the same and in the same role.
    pub fn knows(&self, who: &Principal, now: Timestamp) -> bool {
        let Principal::Token { id, .. } = who else { return false };
        self.get(id).is_some_and(|token| {
            token.principal() == *who && token.expires.is_none_or(|end| now < end)
        })
    }

    /// Whose token `given` is, at `now`. Takes as long for an id that nobody has as for a wrong
    /// secret: both are hashed, and compared whole.
    ///
    /// # Errors
    ///
    /// It is none, or none any more.
    pub fn identify(&self, given: &str, now: Timestamp) -> Result<Principal, Refused> {
        let hash = Hash::of(token::secret_part(given));
        let found = token::id_part(given).and_then(|id| self.0.get(&id));
        let nobody = Hash::nobodys();
        let is_right = hash.is(found.map_or(&nobody, |token| &token.hash));
        match found {
            Some(token) if is_right => match token.expires.filter(|expires| *expires <= now) {
                Some(expired) => Err(Refused::Expired(token.id.clone(), expired)),
                None => Ok(token.principal()),
            },
            Some(_) | None => Err(Refused::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::token::Secret;
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_secs(1_000)
    }

    #[test]
    fn a_token_is_known_by_its_secret_until_it_expires() {
        let [ci, old, other] = [b'a', b'b', b'c'].map(|byte| Secret::of([byte; 32]));
        let token = |id: &str, secret: &Secret, expires: Option<i64>| Token {
            id: id.parse().unwrap(),
            tenant: None,
            role: Role::Viewer,
            hash: secret.hash(),
            created: Timestamp::from_secs(0),
            expires: expires.map(Timestamp::from_secs),
        };
        let tokens = Tokens::new([
            token("ci", &ci, Some(1_001)),
            token("old", &old, Some(1_000)),
            token("with_line", &other, None),
        ]);
        let text = |id: &str, secret: &Secret| secret.shown(&id.parse().unwrap());
        let id = |id: &str| id.parse::<TokenId>().unwrap();
        let expired = Refused::Expired(id("old"), Timestamp::from_secs(1_000));
        for (given, expected) in [
            (text("ci", &ci), Ok("token ci")),
            (text("with_line", &other), Ok("token with_line")),
            (text("ci", &old), Err(Refused::Unknown)),
            (text("nobody", &ci), Err(Refused::Unknown)),
            (text("old", &old), Err(expired)),
            (text("old", &ci), Err(Refused::Unknown)),
            (text("ci", &ci).to_uppercase(), Err(Refused::Unknown)),
            (String::new(), Err(Refused::Unknown)),
            ("camp__".to_owned(), Err(Refused::Unknown)),
        ] {
            let found = tokens.identify(&given, now()).map(|principal| principal.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{given}");
        }
        let who = tokens.get(&id("ci")).unwrap().principal();
        assert!(tokens.knows(&who, now()) && !tokens.knows(&who, Timestamp::from_secs(1_001)));
        assert!(!tokens.clone().without(&id("ci")).knows(&who, now()));
        let raised = Principal::Token { id: id("ci"), tenant: None, role: Role::Admin };
        assert!(!tokens.knows(&raised, now()));
    }

    #[test]
    fn no_secret_has_the_hash_of_nobody() {
        let hashes = ["", "camp_x_", &"0".repeat(64)].map(Hash::of);
        assert!(hashes.iter().all(|hash| !hash.is(&Hash::nobodys())));
    }

    #[test]
    fn a_role_may_do_what_those_below_it_may() {
        for (role, wanted, may) in [
            (Role::Viewer, Role::Viewer, true),
            (Role::Viewer, Role::Operator, false),
            (Role::Operator, Role::Viewer, true),
            (Role::Operator, Role::Admin, false),
            (Role::Admin, Role::Operator, true),
        ] {
            let id = "x".parse().unwrap();
            assert_eq!(Principal::Token { id, tenant: None, role }.may(wanted), may);
        }
        assert!(Principal::Local.may(Role::Admin));
    }
}
