//! What templates may cost.

use baton_api::TemplateSettings;
use baton_content::{DEPTH_MOST, Limits};

use super::Checker;
use crate::settings::raw::RawTemplates;

impl Checker<'_> {
    pub(super) fn templates(&mut self, raw: &RawTemplates) -> TemplateSettings {
        let tenant_octets_max =
            self.bound("templates.tenant_octets_max", raw.tenant_octets_max, 1 << 10, 1 << 30);
        let output_octets_max =
            self.bound("templates.output_octets_max", raw.output_octets_max, 1 << 10, 1 << 30);
        TemplateSettings {
            limits: Limits {
                work_max: self.bound("templates.work_max", raw.work_max, 1_000, 1_000_000_000),
                output_octets_max,
                source_octets_max: self.bound(
                    "templates.source_octets_max",
                    raw.source_octets_max,
                    1 << 10,
                    SOURCE_OCTETS_MOST,
                ),
                depth_max: self.bound("templates.depth_max", raw.depth_max, 20, DEPTH_MOST),
            },
            templates_max: self.bound("templates.templates_max", raw.templates_max, 1, 100_000),
            tenant_octets_max,
            versions_kept: self.bound("templates.versions_kept", raw.versions_kept, 1, VERSIONS_MOST),
            // The templates of the largest tenant, with room for others beside them.
            compiled_octets_max: self.bound(
                "templates.compiled_octets_max",
                raw.compiled_octets_max,
                tenant_octets_max.saturating_mul(2),
                1 << 40,
            ),
            preview_s: self.bound("templates.preview_s", raw.preview_s, 1, 86_400),
            // One page at least.
            preview_octets_max: self.bound(
                "templates.preview_octets_max",
                raw.preview_octets_max,
                output_octets_max,
                1 << 40,
            ),
        }
    }
}

/// With its quotes and ends of lines written as JSON does, a template must fit into one record of the catalog.
const SOURCE_OCTETS_MOST: usize = 768 << 10;
/// A template is forgotten with all its versions in one change of the catalog.
const VERSIONS_MOST: u32 = 90;
