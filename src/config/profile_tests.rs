use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Profile, ContentError> {
    Profile::parse(text, Origin::File("my.yaml".into())).map_err(|error| *error)
}

fn error(text: &str) -> ContentError {
    parse(text).unwrap_err()
}

const HEAD: &str = "name: mine\nrank: 15\n";

#[test]
fn the_shipped_profiles_are_a_ladder_that_never_touches_the_rate() {
    let profiles = Profiles::load::<&Path>(&[]).unwrap();
    let names: Vec<_> = profiles
        .iter()
        .map(|profile| (profile.name.as_str(), profile.rank))
        .collect();
    assert_eq!(
        names,
        [("minimal", 10), ("low", 20), ("balanced", 30), ("high", 40)]
    );
    for profile in profiles.iter() {
        assert!(!profile.may.contains(&May::Rate), "{}", profile.name);
        for settings in profile.encoders.values() {
            assert!(
                settings
                    .options
                    .keys()
                    .all(|key| !RATE_OPTIONS.contains(&key.as_str())),
                "{}",
                profile.name
            );
        }
        assert_eq!(profile.pids_max, DEFAULT_PIDS_MAX);
    }
    let below: Vec<_> = profiles
        .ladder_below(30)
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(below, ["low", "minimal"]);
    assert!(profiles.get("high").unwrap().may.is_empty());
    assert_eq!(
        profiles.get("balanced").unwrap().may,
        BTreeSet::from([May::Threads])
    );
}

#[test]
fn a_full_profile_is_read() {
    let profile = parse(&format!(
        "{HEAD}threads: {{decoder: 1, encoder: cpus}}\nencoders:\n  libx264:\n    options: {{preset: fast, crf: 28}}\n    \
         params: {{rc_lookahead: 12}}\nmay: [threads, rate]\nmemory_max: 50%\npids_max: 64\n"
    ))
    .unwrap();
    assert_eq!(profile.threads.encoder, Some(Threads::Cpus));
    assert_eq!(profile.threads.filter, None);
    let x264 = profile.encoder("libx264rgb").unwrap();
    assert_eq!(x264.options["crf"], "28");
    assert_eq!(x264.params["rc-lookahead"], "12");
    assert_eq!(profile.memory_max, Some(Size::Percent(50.0)));
    assert_eq!(profile.may, BTreeSet::from([May::Threads, May::Rate]));
    assert_eq!(Threads::Count(8).resolve(2), 2);
    assert_eq!(Threads::Cpus.resolve(0), 1);
}

#[test]
fn a_mistyped_key_names_its_place_and_the_nearest_one() {
    let error = error(&format!(
        "{HEAD}encoders:\n  libx264:\n    optoins: {{preset: fast}}\n"
    ));
    assert_eq!(
        (error.line, error.column, error.key.as_deref()),
        (5, 5, Some("optoins"))
    );
    assert_eq!(
        error.to_string(),
        "my.yaml:5:5: optoins: unknown key; did you mean `options`?"
    );
}

#[test]
fn wrong_values_name_their_place_and_what_to_write() {
    for (text, line, key, part) in [
        ("threads: {encoder: 0}", 3, "encoder", "`cpus`"),
        ("threads: {encoder: many}", 3, "encoder", "`many`"),
        ("memory_max: 2X", 3, "memory_max", "512M"),
        ("memory_max: 0", 3, "memory_max", "above zero"),
        ("pids_max: 0", 3, "pids_max", "4096"),
        ("pids_max: -1", 3, "pids_max", ""),
        (
            "encoders:\n  libx264:\n    options:\n      preset: veryfats",
            6,
            "preset",
            "`veryfast`",
        ),
        (
            "encoders:\n  libx265:\n    options: {preset: hq}",
            5,
            "preset",
            "ultrafast, superfast",
        ),
        (
            "encoders:\n  libx246:\n    options: {preset: fast}",
            5,
            "libx246",
            "`libx264`",
        ),
        (
            "encoders:\n  libx264:\n    options: {-preset: fast}",
            5,
            "-preset",
            "without its dash",
        ),
        (
            "encoders:\n  libx264:\n    options: {threads: 2}",
            5,
            "threads",
            "section of their own",
        ),
        (
            "encoders:\n  libx264:\n    params: {threads: 2}",
            5,
            "threads",
            "threads: {encoder: 2}",
        ),
        (
            "encoders:\n  libx264:\n    params: {ref: some}",
            5,
            "ref",
            "whole number",
        ),
        (
            "encoders:\n  libx264:\n    params: {crf: 28}",
            5,
            "crf",
            "options",
        ),
        (
            "encoders:\n  libx264:\n    params: {psy-rd: '1:0'}",
            5,
            "psy-rd",
            "plain value",
        ),
        (
            "encoders:\n  mpeg4:\n    params: {ref: 1}",
            5,
            "params",
            "use options",
        ),
        ("may: [thread]", 3, "may", "`threads`"),
        ("may: yes", 3, "may", ""),
        ("rank: 2", 3, "rank", "keep one"),
    ] {
        let error = error(&format!("{HEAD}{text}\n"));
        assert_eq!(
            (error.line, error.key.as_deref()),
            (line, Some(key)),
            "{text}: {error}"
        );
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.column > 0, "{text}");
    }
}

#[test]
fn a_name_and_a_rank_are_needed() {
    assert_eq!(error("rank: 5\n").key.as_deref(), Some("name"));
    assert_eq!(error("name: x\nrank: 0\n").key.as_deref(), Some("rank"));
    assert_eq!(error("name: auto\nrank: 1\n").key.as_deref(), Some("name"));
    assert_eq!(error("name: a/b\nrank: 1\n").key.as_deref(), Some("name"));
    assert!(parse("").is_err());
    assert!(parse("- a\n").is_err());
}

#[test]
fn a_users_file_replaces_the_built_in_one_and_the_first_directory_wins() {
    let (user, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |dir: &Path, name: &str, rank: u32| {
        std::fs::write(
            dir.join(format!("{name}.yaml")),
            format!("name: {name}\nrank: {rank}\n"),
        )
        .unwrap();
    };
    write(user.path(), "low", 21);
    write(system.path(), "low", 22);
    write(system.path(), "archive", 25);
    let dirs = [
        user.path().to_owned(),
        PathBuf::from("/nonexistent"),
        system.path().to_owned(),
    ];
    let profiles = Profiles::load(&dirs).unwrap();
    let low = profiles.get("low").unwrap();
    assert_eq!(
        (low.rank, &low.origin),
        (21, &Origin::File(user.path().join("low.yaml")))
    );
    let names: Vec<_> = profiles
        .iter()
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(names, ["minimal", "low", "archive", "balanced", "high"]);
    assert_eq!(profiles.get("high").unwrap().origin.to_string(), "built in");

    let error = profiles.resolve("balancd").unwrap_err().to_string();
    assert!(
        error.contains("did you mean `balanced`?") && error.contains("archive"),
        "{error}"
    );
    let path = system.path().join("archive.yaml");
    assert_eq!(profiles.resolve(path.to_str().unwrap()).unwrap().rank, 25);
    assert!(matches!(
        profiles.resolve("./missing.yaml"),
        Err(ConfigError::Read { .. })
    ));

    std::fs::rename(&path, system.path().join("other.yaml")).unwrap();
    let error = Profiles::load(&dirs).unwrap_err().to_string();
    assert!(
        error.contains("other.yaml") && error.contains("archive.yaml"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_profile_is_refused_without_reading_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.yaml");
    std::fs::write(&path, "#".repeat(1 << 20)).unwrap();
    let error = Profiles::load::<&Path>(&[])
        .unwrap()
        .resolve(path.to_str().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("64 KiB"), "{error}");
}
