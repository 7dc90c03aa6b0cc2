//! Leaves about physical pages and caches.

pub(super) mod cache_wb;
pub(super) mod page_reclaim;
pub(super) mod page_wbinvd;
pub(super) mod rdmd;
