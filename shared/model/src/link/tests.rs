use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
const PAGE: &str = "https://abc.lambda-url.eu-west-1.on.aws/";

fn claims() -> Claims {
    Claims {
        pipeline: "churn-release".into(),
        stage: "Approve".into(),
        action: "Approve".into(),
        token_digest: token_digest(TOKEN),
        release: RELEASE.parse().unwrap(),
        package: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
            .parse()
            .unwrap(),
        approver: "ada@example.com".into(),
        expires: "2026-03-01T20:22:00Z".parse().unwrap(),
        evidence: "e".repeat(64),
    }
}

fn link() -> SignedLink {
    SignedLink {
        claims: claims(),
        mac: (0..32).collect(),
    }
}

fn query(link: &SignedLink) -> String {
    link.url("").trim_start_matches('?').to_owned()
}

#[test]
fn neither_mac_nor_token_nor_link_is_shown() {
    let link = link();
    let url = link.url(PAGE);
    assert!(url.starts_with("https://abc.lambda-url.eu-west-1.on.aws/?c="), "{url}");
    assert!(url.len() < 1000, "{}", url.len());
    let (_, parts) = url.split_once("?c=").unwrap();
    let debug = format!("{link:?}");
    assert_eq!(
        debug,
        "SignedLink { package: ModelPackageArn { partition: \"aws\", region: \"eu-west-1\", account: \"123456789012\", \
         group: \"churn\", version: 7 }, release: ReleaseId(\"01234567-89ab-cdef-0123-456789abcdef\"), approver: \
         \"ada@example.com\", .. }"
    );
    assert!(!debug.contains(parts));
    assert!(!String::from_utf8(link.claims.json()).unwrap().contains(TOKEN));
}

#[test]
fn each_claim_is_signed() {
    let message = claims().message();
    assert!(message.starts_with(b"signalbox approval 1\n"));
    type Change = fn(&mut Claims);
    let changes: [Change; 10] = [
        |c| c.pipeline.push('x'),
        |c| c.stage.push('x'),
        |c| c.action.push('x'),
        |c| c.token_digest = token_digest("other"),
        |c| c.release = "11234567-89ab-cdef-0123-456789abcdef".parse().unwrap(),
        |c| c.package = c.package.with_version(8),
        |c| c.approver = "eve@example.com".into(),
        |c| c.expires = "2027-03-01T20:22:00Z".parse().unwrap(),
        |c| c.evidence = "f".repeat(64),
        // Moves a character over the border between two parts.
        |c| (c.pipeline, c.stage) = ("churn-releaseA".into(), "pprove".into()),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = claims();
        change(&mut other);
        assert_ne!(other.message(), message, "change {i}");
    }
    let mut long = claims();
    long.approver = "x".repeat(10_000);
    assert!(long.message().len() <= 4096);
}

#[test]
fn strange_queries_are_refused() {
    let good = query(&link());
    let (c, m) = good.split_once('&').unwrap();
    let encode = |json: &str| format!("c={}&{m}", BASE64_URL_SAFE_NO_PAD.encode(json));
    let json = String::from_utf8(claims().json()).unwrap();
    for (query, expected) in [
        (String::new(), LinkError::Missing("c")),
        (c.to_owned(), LinkError::Missing("m")),
        (m.to_owned(), LinkError::Missing("c")),
        (format!("{good}&{c}"), LinkError::Repeated("c")),
        (format!("{good}&{m}"), LinkError::Repeated("m")),
        (format!("{c}&m="), LinkError::Malformed("m")),
        (format!("{c}&m=AAAA"), LinkError::Malformed("m")),
        (format!("{good}="), LinkError::Malformed("m")),
        (format!("{good}%00"), LinkError::Malformed("m")),
        (format!("c=%ff%fe&{m}"), LinkError::Malformed("c")),
        (format!("{good}&x={}", "x".repeat(9000)), LinkError::TooLong),
        (encode(""), LinkError::Malformed("c")),
        (encode("{}"), LinkError::Malformed("c")),
        (encode(&"[".repeat(5000)), LinkError::Malformed("c")),
        (encode(&format!("{json} ")), LinkError::Malformed("c")),
        (encode(&json.replacen('{', "{\"z\":1,", 1)), LinkError::Malformed("c")),
        (
            encode(&json.replacen('{', "{\"w\":\"eve\",", 1)),
            LinkError::Malformed("c"),
        ),
        (encode(&json.replace("ada@example.com", "")), LinkError::Malformed("c")),
        (
            encode(&json.replace("ada@", &"a".repeat(400))),
            LinkError::Malformed("c"),
        ),
        (encode(&json.replace(":22:00Z", ":22Z")), LinkError::Malformed("c")),
        (encode(&json.replace("churn-release", "")), LinkError::Malformed("c")),
        (
            encode(&json.replace("churn-release", &"x".repeat(101))),
            LinkError::Malformed("c"),
        ),
        (encode(&json.replace("eeee", "EEEE")), LinkError::Malformed("c")),
        (
            encode(&json.replace("/churn/7", "/churn/07")),
            LinkError::Malformed("c"),
        ),
    ] {
        assert_eq!(SignedLink::parse(&query), Err(expected), "{query}");
    }
    let tracked = format!("utm_source=mail&{good}&fbclid=1");
    assert_eq!(SignedLink::parse(&tracked), Ok(link()));
    let padded = |bytes: usize| format!("{good}&x={}", "x".repeat(bytes - good.len() - 3));
    assert_eq!(SignedLink::parse(&padded(8192)), Ok(link()), "the longest");
    assert_eq!(SignedLink::parse(&padded(8193)), Err(LinkError::TooLong));
}

#[test]
fn a_link_counts_for_one_approval() {
    let other_release: ReleaseId = "11234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
    let (model, other_model): (ModelName, ModelName) = ("churn".parse().unwrap(), "spam".parse().unwrap());
    let (claims, evidence) = (claims(), "e".repeat(64));
    let other_package = claims.package.with_version(8);
    let waiting = Waiting {
        token: TOKEN,
        release: &claims.release,
        package: &claims.package,
        evidence: &evidence,
    };
    let expected = Expected {
        pipeline: "churn-release",
        stage: "Approve",
        action: "Approve",
        model: &model,
        waiting: Some(waiting),
    };
    let with = |waiting| Expected {
        waiting: Some(waiting),
        ..expected
    };
    let (early, last, late) = ("2026-02-01T00:00:00Z", "2026-03-01T20:21:59Z", "2026-03-01T20:22:00Z");
    for (i, (now, expected, verdict)) in [
        (early, expected, Ok(())),
        (last, expected, Ok(())),
        (late, expected, Err(Refusal::Expired)),
        (
            early,
            Expected {
                pipeline: "spam-release",
                ..expected
            },
            Err(Refusal::OtherApproval),
        ),
        (
            early,
            Expected {
                stage: "Deploy",
                ..expected
            },
            Err(Refusal::OtherApproval),
        ),
        (
            early,
            Expected {
                action: "Deploy",
                ..expected
            },
            Err(Refusal::OtherApproval),
        ),
        (
            early,
            Expected {
                model: &other_model,
                ..expected
            },
            Err(Refusal::OtherApproval),
        ),
        (
            early,
            Expected {
                waiting: None,
                ..expected
            },
            Err(Refusal::NoLongerWaits),
        ),
        (
            early,
            with(Waiting {
                token: "another",
                ..waiting
            }),
            Err(Refusal::NoLongerWaits),
        ),
        (
            early,
            with(Waiting {
                release: &other_release,
                ..waiting
            }),
            Err(Refusal::NoLongerWaits),
        ),
        (
            early,
            with(Waiting {
                package: &other_package,
                ..waiting
            }),
            Err(Refusal::NoLongerWaits),
        ),
        (
            early,
            with(Waiting {
                evidence: "else",
                ..waiting
            }),
            Err(Refusal::EvidenceChanged),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(link().check(now.parse().unwrap(), &expected), verdict, "case {i}");
    }
}

#[test]
fn each_refusal_says_what_happened_and_that_nothing_was_decided() {
    let all = [
        Refusal::Expired,
        Refusal::NoLongerWaits,
        Refusal::Superseded { by: 8 },
        Refusal::OtherApproval,
        Refusal::EvidenceChanged,
        Refusal::NotAnApprover,
    ];
    for refusal in all {
        assert!(refusal.to_string().contains("Nothing was decided"), "{refusal}");
    }
    let titles: std::collections::BTreeSet<_> = all.iter().map(|refusal| refusal.title()).collect();
    let advice: std::collections::BTreeSet<_> = all.iter().map(|refusal| refusal.advice()).collect();
    assert_eq!((titles.len(), advice.len()), (all.len(), all.len()));
    assert!(
        Refusal::Superseded { by: 8 }
            .to_string()
            .starts_with("v8 passed its gate")
    );
}

/// The key that KMS never shows.
const KEY: &[u8] = b"a key of thirty-two bytes, or so";

fn mac_of(claims: &Claims, key: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).unwrap();
    mac.update(&claims.message());
    mac
}

fn signed(claims: &Claims, key: &[u8]) -> SignedLink {
    SignedLink {
        claims: claims.clone(),
        mac: mac_of(claims, key).finalize().into_bytes().to_vec(),
    }
}

/// What the page takes for true: claims that can be read, under the MAC of exactly these.
fn accept(query: &[u8]) -> Option<Claims> {
    let link = SignedLink::parse(std::str::from_utf8(query).ok()?).ok()?;
    mac_of(&link.claims, KEY).verify_slice(&link.mac).ok()?;
    Some(link.claims)
}

#[test]
fn no_bit_of_a_link_can_be_flipped() {
    let query = query(&signed(&claims(), KEY)).into_bytes();
    assert_eq!(accept(&query), Some(claims()));
    for bit in 0..query.len() * 8 {
        let mut flipped = query.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(accept(&flipped), None, "bit {bit}");
    }
    for end in 0..query.len() {
        assert_eq!(accept(&query[..end]), None, "cut to {end}");
    }
}

prop_compose! {
    fn any_claims()(pipeline in "[A-Za-z0-9.@_-]{1,100}", stage in ".{1,100}", action in "Approve|.{1,100}",
                    approver in "\\PC{1,80}@x", seconds in 0..4_000_000_000_i64, release in "[0-9a-f]{8}",
                    version in 1..=u32::MAX, token in any::<String>(), evidence in any::<Vec<u8>>()) -> Claims {
        Claims {
            pipeline,
            stage,
            action,
            token_digest: token_digest(&token),
            release: format!("{release}-89ab-cdef-0123-456789abcdef").parse().unwrap(),
            package: claims().package.with_version(version),
            approver,
            expires: Timestamp::from_second(seconds).unwrap(),
            evidence: digest(&[&evidence]),
        }
    }
}

prop_compose! {
    fn any_link()(claims in any_claims(), mac in proptest::collection::vec(any::<u8>(), 32)) -> SignedLink {
        SignedLink { claims, mac }
    }
}

proptest! {
    #[test]
    fn links_round_trip(link in any_link()) {
        prop_assert!(link.url(PAGE).is_ascii());
        prop_assert_eq!(SignedLink::parse(&query(&link)), Ok(link.clone()));
        prop_assert!(link.claims.message().len() <= 4096);
    }

    #[test]
    fn an_altered_link_never_passes_for_the_signed_one(claims in any_claims(), at in any::<prop::sample::Index>(),
                                                       with in "[ -~]{0,3}", cut in 0_usize..4) {
        let query = query(&signed(&claims, KEY));
        let at = at.index(query.len());
        let end = (at + cut).min(query.len());
        let accepted = accept(format!("{}{with}{}", &query[..at], &query[end..]).as_bytes());
        // Where it is accepted it says the same: a parameter was added.
        prop_assert!(accepted.is_none_or(|read| read == claims));
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_passes(claims in any_claims(), at in any::<prop::sample::Index>(),
                                                  bit in 0..8) {
        let mut query = query(&signed(&claims, KEY)).into_bytes();
        prop_assert_eq!(accept(&query), Some(claims));
        let at = at.index(query.len());
        prop_assert_eq!(accept(&query[..at]), None);
        prop_assert_eq!(accept(&query[at + 1..]), None);
        query[at] ^= 1_u8 << bit;
        prop_assert_eq!(accept(&query), None);
    }

    #[test]
    fn claims_pass_with_their_own_mac_alone(one in any_claims(), other in any_claims(), claim in 0..9) {
        let (left, right) = (signed(&one, KEY), signed(&other, KEY));
        let with = |claims: &Claims, mac: &[u8]| {
            accept(query(&SignedLink { claims: claims.clone(), mac: mac.to_vec() }).as_bytes())
        };
        prop_assert_eq!(with(&one, &left.mac), Some(one.clone()));
        if one != other {
            prop_assert_eq!(with(&one, &right.mac), None);
            prop_assert_eq!(with(&other, &left.mac), None);
        }
        // One claim of the other's, the rest and the MAC as they were.
        let mut mixed = one.clone();
        match claim {
            0 => mixed.pipeline.clone_from(&other.pipeline),
            1 => mixed.stage.clone_from(&other.stage),
            2 => mixed.action.clone_from(&other.action),
            3 => mixed.token_digest.clone_from(&other.token_digest),
            4 => mixed.release = other.release.clone(),
            5 => mixed.package = other.package.clone(),
            6 => mixed.approver.clone_from(&other.approver),
            7 => mixed.expires = other.expires,
            _ => mixed.evidence.clone_from(&other.evidence),
        }
        prop_assert!(mixed == one || with(&mixed, &left.mac).is_none());
        prop_assert_eq!(with(&one, &signed(&one, b"another key").mac), None);
    }

    #[test]
    fn no_mac_passes_cut_or_prolonged(claims in any_claims(), more in proptest::collection::vec(any::<u8>(), 1..33)) {
        let link = signed(&claims, KEY);
        for keep in 0..link.mac.len() {
            let cut = SignedLink { claims: claims.clone(), mac: link.mac[..keep].to_vec() };
            prop_assert_eq!(accept(query(&cut).as_bytes()), None);
        }
        for more in [&more[..], &[0; 16], &[0; 32]] {
            let long = SignedLink { claims: claims.clone(), mac: [&link.mac, more].concat() };
            prop_assert_eq!(accept(query(&long).as_bytes()), None);
        }
    }

    #[test]
    fn nothing_makes_it_panic(query in any::<String>()) {
        prop_assert!(SignedLink::parse(&query).is_err());
    }
}
