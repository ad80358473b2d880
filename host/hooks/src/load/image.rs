//! The data segments of a snapshot, joined into one for each memory.
//!
//! The snapshot tool writes what is not zero as up to ten thousand small segments. wasmtime maps a memory into an
//! instance as one copy-on-write image only where its segments are dense; otherwise each instance is made by copying
//! them one by one, and holds a pointer to each.

use std::collections::BTreeMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, utils};
use wasm_encoder::{CodeSection, Component, ConstExpr, DataSection};
use wasmparser::{BinaryReaderError, Data, DataKind, DataSectionReader, FunctionBody, Operator, Parser};

/// Octets from the first to the last that is set, up to which a memory becomes one segment. A snapshot that spreads
/// farther keeps its segments: the zeros between them would take their room in the compiled file.
const EXTENT_OCTETS_MAX: usize = 32 << 20;

/// The component with one data segment for each memory, where its segments allow it.
pub(super) fn join_segments(component: &[u8]) -> Result<Vec<u8>, Error> {
    let mut joined = Component::new();
    Join::default().parse_component(&mut joined, Parser::new(0), component)?;
    Ok(joined.finish())
}

#[derive(Default)]
struct Join {
    /// The module that is being read says how many segments it has. Only then may its code name them, so they stay.
    counted: bool,
}

impl ReencodeComponent for Join {}

impl Reencode for Join {
    type Error = Infallible;

    fn data_count(&mut self, count: u32) -> Result<u32, Error> {
        self.counted = true;
        Ok(count)
    }

    /// The code stays as it is.
    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        code.raw(body.as_bytes());
        Ok(())
    }

    fn parse_data_section(
        &mut self,
        section: &mut DataSection,
        segments: DataSectionReader<'_>,
    ) -> Result<(), Error> {
        let counted = std::mem::take(&mut self.counted);
        match images(segments.clone())? {
            Some(images) if !counted => {
                for (memory, image) in images {
                    let start = ConstExpr::i32_const(image.start.cast_signed());
                    section.active(memory, &start, image.octets);
                }
                Ok(())
            }
            _ => utils::parse_data_section(self, section, segments),
        }
    }
}

/// A memory from the first octet that is set to the last.
struct Image {
    start: u32,
    octets: Vec<u8>,
}

/// The memories as the segments lay them out; none where that is only known when the module runs, or takes too much.
/// Segments that only code could put somewhere are left out.
fn images(segments: DataSectionReader<'_>) -> Result<Option<BTreeMap<u32, Image>>, BinaryReaderError> {
    let mut placed: BTreeMap<u32, Vec<(u32, &[u8])>> = BTreeMap::new();
    for segment in segments {
        let segment = segment?;
        if matches!(segment.kind, DataKind::Passive) {
            continue;
        }
        let Some((memory, start)) = place(&segment)? else { return Ok(None) };
        placed.entry(memory).or_default().push((start, segment.data));
    }
    Ok(placed.into_iter().map(|(memory, segments)| Some((memory, image(&segments)?))).collect())
}

/// The memory and the address of a segment that is put there at instantiation.
fn place(segment: &Data<'_>) -> Result<Option<(u32, u32)>, BinaryReaderError> {
    let DataKind::Active { memory_index, offset_expr } = &segment.kind else { return Ok(None) };
    let mut operators = offset_expr.get_operators_reader();
    Ok(match (operators.read()?, operators.read()?) {
        (Operator::I32Const { value }, Operator::End) => Some((*memory_index, value.cast_unsigned())),
        _ => None,
    })
}

/// Later segments lie over earlier ones.
fn image(segments: &[(u32, &[u8])]) -> Option<Image> {
    let start = segments.iter().map(|(start, _)| *start).min()?;
    let end = segments.iter().map(|(start, data)| *start as usize + data.len()).max()?;
    let extent = end - start as usize;
    if extent > EXTENT_OCTETS_MAX {
        return None;
    }
    let mut octets = vec![0; extent];
    for (at, data) in segments {
        let at = (at - start) as usize;
        octets.get_mut(at..at + data.len())?.copy_from_slice(data);
    }
    Some(Image { start, octets })
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{DataCountSection, MemorySection, MemoryType, Module, ModuleSection};
    use wasmparser::Payload;

    use super::*;

    /// A component of one module that has these segments; their number is said where `counted`.
    fn component(segments: &[(i32, &[u8])], counted: bool) -> Vec<u8> {
        let mut memories = MemorySection::new();
        let memory = MemoryType {
            minimum: 1_024,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        memories.memory(memory);
        let mut data = DataSection::new();
        data.passive(*b"for nobody");
        for (start, octets) in segments {
            data.active(0, &ConstExpr::i32_const(*start), octets.iter().copied());
        }
        let mut module = Module::new();
        module.section(&memories);
        if counted {
            module.section(&DataCountSection { count: data.len() });
        }
        module.section(&data);
        let mut component = Component::new();
        component.section(&ModuleSection(&module));
        component.finish()
    }

    fn segments_of(component: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            let Payload::DataSection(section) = payload.unwrap() else { continue };
            for segment in section {
                let segment = segment.unwrap();
                found.extend(place(&segment).unwrap().map(|(_, start)| (start, segment.data.to_vec())));
            }
        }
        found
    }

    #[test]
    fn segments_become_one_and_later_ones_lie_over_earlier_ones() {
        let before = component(&[(70_000, b"abcd"), (65_536, b"xy"), (70_002, b"CD!")], false);
        let joined = segments_of(&join_segments(&before).unwrap());
        let [(65_536, octets)] = joined.as_slice() else { panic!("{} segments", joined.len()) };
        assert_eq!(octets.len(), 70_005 - 65_536);
        assert_eq!((&octets[..3], &octets[70_000 - 65_536..]), (b"xy\0".as_slice(), b"abCD!".as_slice()));
    }

    #[test]
    fn segments_stay_where_code_may_name_them_or_they_lie_far_apart() {
        let near: &[(i32, &[u8])] = &[(0, b"a"), (8, b"b")];
        let far: &[(i32, &[u8])] = &[(0, b"a"), (EXTENT_OCTETS_MAX as i32, b"b")];
        for (segments, counted) in [(near, true), (far, false)] {
            let before = component(segments, counted);
            assert_eq!(segments_of(&join_segments(&before).unwrap()), segments_of(&before));
        }
    }

    #[test]
    fn what_is_no_component_is_an_error() {
        assert!(join_segments(b"\0asm").is_err());
    }
}
