//! Claims set one by one, in the words of licence files: for whoever translates another language into certificates.

use super::{Place, SETTINGS, TextError, lexer::Lexer, settings::Setting, write::quoted};
use crate::licence::{
    Certificate, ClaimError, LicenceError,
    certificate::{Draft, Terms},
};

/// A certificate in the making.
#[derive(Debug, Default)]
pub struct Claims(Draft);

impl Claims {
    /// Sets what a licence file sets by `name = value`, in place of what was set before.
    ///
    /// # Errors
    /// If there is no such setting, or the value is not one of its values.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), LicenceError> {
        let known = SETTINGS.into_iter().find(|known| *known == name && *known != "sign");
        let name = known.ok_or_else(|| TextError::unknown(name))?;
        // Components are set once in a certificate; here the last word counts.
        if matches!(name, "package" | "suite") && self.0.terms.components_name() == name {
            self.0.terms.components = None;
        }
        let mut lexer = Lexer::new(value);
        let tokens: Vec<_> = std::iter::from_fn(|| lexer.next_inside()).collect();
        let place = Place { line: 1, column: 1, offset: 0, len: value.len() };
        Setting { name, place, value: &tokens }.put_into(&mut self.0).map_err(|(_, why)| why)
    }

    /// The terms set so far.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// The certificate. Whether its claims fit each other is for [`check`](crate::licence::canonical::check).
    ///
    /// # Errors
    /// If a claim is missing that every certificate has.
    pub fn finish(self) -> Result<Certificate, ClaimError> {
        self.0.finish()
    }
}

/// `text` as a quoted text of licence files.
#[must_use]
pub fn quote(text: &str) -> String {
    quoted(text).join(" ")
}
