//! CRC-32C (Castagnoli, RFC 3720 B.4), eight octets a step by tables: fast enough to check a log at start.

/// The reflected polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][octet]`: the effect of `octet` followed by `k` zero octets.
static TABLES: [[u32; 256]; 8] = tables();

#[allow(clippy::indexing_slicing)] // Evaluated when compiled: an index out of bounds would not compile.
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][octet] = crc;
        octet += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut octet = 0;
        while octet < 256 {
            let crc: u32 = tables[table - 1][octet];
            tables[table][octet] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            octet += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of `octets`.
pub(crate) fn crc32c(octets: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let (eights, rest) = octets.as_chunks::<8>();
    for eight in eights {
        let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
        crc = step(7, word)
            ^ step(6, word >> 8)
            ^ step(5, word >> 16)
            ^ step(4, word >> 24)
            ^ step(3, word >> 32)
            ^ step(2, word >> 40)
            ^ step(1, word >> 48)
            ^ step(0, word >> 56);
    }
    for octet in rest {
        crc = step(0, u64::from(crc) ^ u64::from(*octet)) ^ (crc >> 8);
    }
    !crc
}

#[allow(clippy::indexing_slicing)] // Both indexes are masked to the sizes of the tables.
fn step(table: usize, word: u64) -> u32 {
    TABLES[table & 7][(word & 0xff) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // RFC 3720 B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
