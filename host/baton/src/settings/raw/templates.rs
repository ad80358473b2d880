//! What templates may cost.

use crate::settings::field::section;

section! {
    /// Bounds of templates. They hold for what is rendered and kept from then on; what is kept stays.
    RawTemplates {
        /// The work of rendering each part: one for an instruction, and about one for 64 octets made. A template that needs more is refused (`too-much-work`), so none holds up a thread for long.
        work_max: u64 = 500_000,
        /// Octets that a rendered part may have.
        output_octets_max: usize = 1 << 20,
        /// Octets of source that one template may have, all parts together.
        source_octets_max: usize = 512 << 10,
        /// Levels of templates, loops and macros in one another; a template inside another counts ten.
        depth_max: usize = 200,
        /// Templates of one tenant.
        templates_max: usize = 500,
        /// Octets of all sources of one tenant: they are compiled together.
        tenant_octets_max: u64 = 16 << 20,
        /// Versions that are kept of one template, the newest included.
        versions_kept: u32 = 20,
        /// Octets of sources whose compiled form stays in memory, of all tenants; what is longest unused is compiled again when it is needed.
        compiled_octets_max: u64 = 64 << 20,
        /// How long a preview is kept as a page for browsers, in seconds.
        preview_s: u64 = 600,
        /// Octets of all such pages in memory; the oldest go.
        preview_octets_max: usize = 32 << 20,
    }
}
