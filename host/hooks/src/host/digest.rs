//! Digests of messages and parts, by crates that others watch over.

use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;

/// A function that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha256,
    Sha1,
    Md5,
}

impl Algorithm {
    /// The algorithm of that name.
    pub(super) fn of(name: &str) -> Result<Algorithm, String> {
        match name {
            "sha-256" => Ok(Algorithm::Sha256),
            "sha-1" => Ok(Algorithm::Sha1),
            "md5" => Ok(Algorithm::Md5),
            _ => Err("there are \"sha-256\", \"sha-1\" and \"md5\"".to_owned()),
        }
    }

    /// The digest of all pieces one after the other.
    pub(super) fn digest(self, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Algorithm::Sha256 => digest::<Sha256>(pieces),
            Algorithm::Sha1 => digest::<Sha1>(pieces),
            Algorithm::Md5 => digest::<Md5>(pieces),
        }
    }
}

fn digest<D: sha2::Digest>(pieces: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    pieces.iter().for_each(|piece| digest.update(piece));
    digest.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        let hex = |name: &str| -> String {
            let digest = Algorithm::of(name).unwrap().digest(&[b"a", b"bc"]);
            digest.iter().map(|octet| format!("{octet:02x}")).collect()
        };
        // FIPS 180-2 B.1 and A.1, RFC 1321 A.5.
        assert_eq!(hex("sha-256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hex("sha-1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex("md5"), "900150983cd24fb0d6963f7d28e17f72");
        assert!(Algorithm::of("crc32").is_err());
    }
}
