//! The version mapping file that lies beside released images, from which clients choose an update.

use super::ImageSpec;
use serde_json::{Value, json};

/// `mapping_file.json` for a set of images. Any of them may follow any earlier one of the same major and minor version,
/// and all run on any P-SEAMLDR of their series or later. Source of the form: intel/tdx-module-binaries.
pub fn mapping_file(specs: &[ImageSpec]) -> String {
    let releases: Vec<Value> = specs.iter().map(|spec| release(spec, specs)).collect();
    let file = json!({
        "Header": { "Copyright": "", "Info": "Test images; signed with a published key", "Version": "1.0" },
        "tdx_module_releases": releases,
    });
    serde_json::to_string_pretty(&file).expect("maps with string keys are JSON") + "\n"
}

fn release(spec: &ImageSpec, all: &[ImageSpec]) -> Value {
    let series = all.iter().filter(|other| (other.major, other.minor) == (spec.major, spec.minor));
    let oldest = series.min_by_key(|other| other.update).expect("it holds `spec` itself");
    json!({
        "version": spec.version_string(),
        "min_module_version_for_td_preserving": oldest.version_string(),
        "min_seamldr_versions": if spec.major == 1 { &["1.5.00", "2.0.00"][..] } else { &["2.0.00"][..] },
        "tdx_feature0": format!("{:#X}", spec.features0),
    })
}
