//! The table was made by hand from the README, the mapping file and the client of
//! intel/confidential-computing.tdx.tdx-module.binaries; the mapping file below is in its form, with rules of real releases.

use super::*;
use crate::mapping::Mapping;
use rstest::rstest;

/// Sapphire Rapids, stepping 8.
const SPR: u32 = 0x0008_06f8;
/// Emerald Rapids, stepping 2.
const EMR: u32 = 0x000c_06f2;
/// Sierra Forest, stepping 3.
const SRF: u32 = 0x000a_06f3;

const MAPPING: &str = r#"{
  "Header": { "Copyright": "...", "Info": "Info of each Intel TDX module release", "Version": "1.0" },
  "tdx_module_releases": [
    { "version": "1.5.05", "min_module_version_for_td_preserving": "1.5.01", "strict_compat_versions": [ "1.5.01" ],
      "min_seamldr_versions": [ "1.5.00", "2.0.00" ], "tdx_feature0": "0x1F0FBF" },
    { "version": "1.5.06", "min_module_version_for_td_preserving": "1.5.01",
      "min_seamldr_versions": [ "1.5.00", "2.0.00" ], "tdx_feature0": "0x2E1F0FBF" },
    { "version": "1.5.24", "min_module_version_for_td_preserving": "1.5.01",
      "min_seamldr_versions": [ "1.5.00" ], "tdx_feature0": "0xD1326F3F0FBF" },
    { "version": "1.5.25", "min_module_version_for_td_preserving": "1.5.01",
      "min_seamldr_versions": [ "2.0.00" ], "tdx_feature0": "0xD1326F3F0FBF" },
    { "version": "2.0.04", "min_module_version_for_td_preserving": "2.0.04",
      "min_seamldr_versions": [ "2.0.00" ], "tdx_feature0": "0x26F1F0FBF" },
    { "version": "2.0.05", "min_module_version_for_td_preserving": "2.0.04",
      "min_seamldr_versions": [ "2.0.00" ], "tdx_feature0": "0x26F1F0FBF" }
  ]
}"#;

fn v(text: &str) -> Version {
    text.parse().unwrap()
}

/// 1.5.25 is for Sierra Forest, the other ones of the series are for Sapphire and Emerald Rapids.
fn blob(version: &str) -> Blob {
    let cpuid_1_eax = if version == "1.5.25" { vec![SRF & !0xf] } else { vec![SPR & !0xf, EMR & !0xf] };
    Blob {
        pages: 101,
        svn: 0x0104,
        debug: false,
        cpuid_1_eax,
        handoff_version: 0,
        min_update_handoff_version: 0,
        version: None,
    }
}

fn candidate(version: &str) -> Candidate {
    let release = Mapping::parse(MAPPING).unwrap().release(v(version)).cloned();
    let unpublished = release.is_none();
    Candidate {
        path: version.into(),
        version: Some(v(version)),
        release,
        unpublished,
        blob: Ok(blob(version)),
        bytes: Vec::new(),
    }
}

fn platform(module: &str, seamldr: &str, cpu: u32) -> Platform {
    Platform { module: v(module), seamldr: v(seamldr), cpuid_1_eax: Some(cpu) }
}

#[rstest]
// The plain way up, on both processors of the series and with either P-SEAMLDR.
#[case::up("1.5.06", "1.5.05", "1.5.00", SPR, &[])]
#[case::from_the_oldest("1.5.24", "1.5.01", "1.5.00", EMR, &[])]
#[case::newer_seamldr("1.5.06", "1.5.05", "2.0.01", SPR, &[])]
#[case::newer_stepping("1.5.06", "1.5.05", "1.5.00", SPR + 3, &[])]
// The client allows to install the running version again.
#[case::same("1.5.06", "1.5.06", "1.5.00", SPR, &[])]
#[case::sierra("1.5.25", "1.5.06", "2.0.00", SRF, &[])]
// And every rule by itself.
#[case::older("1.5.05", "1.5.06", "1.5.00", SPR, &["1.5.05 is older than the running 1.5.06"])]
#[case::series("2.0.04", "1.5.24", "2.0.00", SPR, &["another series"])]
#[case::series_down("1.5.24", "2.0.04", "1.5.00", SPR, &["another series"])]
#[case::module_too_old("2.0.05", "2.0.02", "2.0.00", SPR, &["takes over from 2.0.04 or later, 2.0.02 runs"])]
#[case::seamldr_series("1.5.24", "1.5.06", "2.0.00", SPR, &["needs P-SEAMLDR 1.5.00"])]
#[case::seamldr_series_up("1.5.25", "1.5.06", "1.5.09", SRF, &["needs P-SEAMLDR 2.0.00"])]
#[case::processor("1.5.24", "1.5.06", "1.5.00", SRF, &["not for this processor (CPUID.1:EAX 0xa06f3"])]
#[case::unpublished("1.5.07", "1.5.06", "1.5.00", SPR, &["does not know version 1.5.07"])]
#[case::all_at_once("1.5.25", "2.0.05", "1.5.00", SPR, &["processor", "another series", "P-SEAMLDR"])]
fn the_published_rules(
    #[case] to: &str,
    #[case] from: &str,
    #[case] seamldr: &str,
    #[case] cpu: u32,
    #[case] expected: &[&str],
) {
    let said: Vec<String> =
        refusals(&candidate(to), &platform(from, seamldr, cpu)).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), expected.len(), "{said:?}");
    assert!(said.iter().zip(expected).all(|(said, part)| said.contains(part)), "{said:?}");
}

#[test]
fn what_an_image_says_of_itself_counts_too() {
    let here = platform("1.5.05", "1.5.00", SPR);
    let debug = Candidate { blob: Ok(Blob { debug: true, ..blob("1.5.06") }), ..candidate("1.5.06") };
    assert_eq!(refusals(&debug, &here), [ImageRefusal::Debug]);
    let damaged = Candidate { blob: Err(BadBlob::Hash), ..candidate("1.5.06") };
    assert_eq!(refusals(&damaged, &here), [ImageRefusal::Damaged(BadBlob::Hash)]);
    let misnamed = Candidate { blob: Ok(Blob { version: Some(v("1.5.05")), ..blob("1.5.06") }), ..candidate("1.5.06") };
    assert_eq!(refusals(&misnamed, &here), [ImageRefusal::Misnamed { called: v("1.5.06"), signed: v("1.5.05") }]);
    let named = Candidate { blob: Ok(Blob { version: Some(v("1.5.06")), ..blob("1.5.06") }), ..candidate("1.5.06") };
    assert_eq!(refusals(&named, &here), []);
    let nameless = Candidate { version: None, release: None, unpublished: false, ..candidate("1.5.06") };
    assert_eq!(refusals(&nameless, &here), [ImageRefusal::UnknownVersion]);
    let unknown = Platform { cpuid_1_eax: None, ..here };
    assert_eq!(refusals(&candidate("1.5.06"), &unknown), [ImageRefusal::UnknownProcessor]);
}

/// Without a mapping file only what the versions and the image say can be judged.
#[test]
fn without_a_mapping_file_fewer_rules_hold() {
    let bare = Candidate { release: None, unpublished: false, ..candidate("1.5.24") };
    assert_eq!(refusals(&bare, &platform("1.5.06", "2.0.00", SPR)), []);
}

#[test]
fn the_newest_that_fits_is_taken() {
    let all = ["1.5.05", "1.5.06", "1.5.24", "1.5.25", "2.0.05"].map(candidate);
    let chosen = |module, seamldr, cpu| newest(&all, &platform(module, seamldr, cpu)).map(|c| c.version.unwrap());
    assert_eq!(chosen("1.5.05", "1.5.00", SPR).unwrap(), v("1.5.24"));
    assert_eq!(chosen("1.5.05", "2.0.00", SPR).unwrap(), v("1.5.06"));
    assert_eq!(chosen("1.5.06", "2.0.00", SRF).unwrap(), v("1.5.25"));
    let why = chosen("1.5.24", "1.5.00", SPR).unwrap_err();
    assert_eq!(why.iter().map(|(c, _)| c.version.unwrap()).collect::<Vec<_>>()[..2], [v("2.0.05"), v("1.5.25")]);
    assert!(why.iter().all(|(c, refusals)| !refusals.is_empty() || c.version == Some(v("1.5.24"))));
}
