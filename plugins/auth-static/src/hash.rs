//! An argon2id hash in its PHC text form, and its comparison with a password.

use argon2::password_hash::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use baton_sdk::prelude::*;

/// What a hash may demand.
pub(crate) struct Bounds {
    pub(crate) memory_kib_max: u32,
    pub(crate) passes_max: u32,
}

/// A hash, read and checked.
pub(crate) struct Hash {
    params: Params,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

/// Octets of a salt or of a hash at most, as the PHC text form allows.
const OUTPUT_OCTETS_MAX: usize = 64;

impl Hash {
    /// Reads `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. The error never repeats the text.
    pub(crate) fn read(text: &str, bounds: &Bounds) -> Result<Hash> {
        let form = "needs the form $argon2id$v=19$m=19456,t=2,p=1$salt$hash";
        let parsed = PasswordHash::new(text).map_err(|_| Error::new(["not a hash: ", form].concat()))?;
        if parsed.algorithm != Algorithm::Argon2id.ident() || parsed.version != Some(Version::V0x13.into()) {
            return Err(Error::new(["not an argon2id hash of version 19: ", form].concat()));
        }
        let params =
            Params::try_from(&parsed).map_err(|_| Error::new("the parameters m, t, p are not valid"))?;
        if params.m_cost() > bounds.memory_kib_max {
            return Err(over("m", params.m_cost(), "memory_kib_max", bounds.memory_kib_max));
        }
        if params.t_cost() > bounds.passes_max {
            return Err(over("t", params.t_cost(), "passes_max", bounds.passes_max));
        }
        let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else {
            return Err(Error::new(["salt or hash is missing: ", form].concat()));
        };
        let mut octets = [0; OUTPUT_OCTETS_MAX];
        let salt = salt.decode_b64(&mut octets).map_err(|_| Error::new("the salt is not base 64"))?.to_vec();
        Ok(Hash { params, salt, expected: expected.as_bytes().to_vec() })
    }

    /// A hash that nothing matches and that costs as much as the most expensive of the others.
    pub(crate) fn decoy<'a>(others: impl Iterator<Item = &'a Hash>) -> Hash {
        let cost = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
        let params = others.map(|hash| &hash.params).max_by_key(|params| cost(params)).cloned();
        Hash { params: params.unwrap_or_default(), salt: vec![0; 16], expected: Vec::new() }
    }

    /// True when the password has this hash. How long it takes tells nothing about where they differ.
    pub(crate) fn matches(&self, password: &str) -> Result<bool> {
        let mut octets = [0; OUTPUT_OCTETS_MAX];
        let length = if self.expected.is_empty() { Params::DEFAULT_OUTPUT_LEN } else { self.expected.len() };
        let output = octets.get_mut(..length).ok_or_else(|| Error::new("the hash is too long"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        argon2
            .hash_password_into(password.as_bytes(), &self.salt, output)
            .map_err(|error| Error::new(error.to_string()))?;
        let difference = output.iter().zip(&self.expected).fold(0, |sum, (left, right)| sum | (left ^ right));
        Ok(std::hint::black_box(difference) == 0 && !self.expected.is_empty())
    }
}

fn over(parameter: &str, value: u32, setting: &str, bound: u32) -> Error {
    let (value, bound) = (value.to_string(), bound.to_string());
    Error::new([parameter, "=", &value, " is more than ", setting, " = ", &bound, " allows"].concat())
}

#[cfg(test)]
impl Hash {
    /// Memory and passes, which are what a comparison costs.
    pub(crate) fn cost_for_test(&self) -> (u32, u32) {
        (self.params.m_cost(), self.params.t_cost())
    }
}
