//! Transport security: certificates of ours, checks of theirs.
