// SPDX-License-Identifier: GPL-2.0

//! What each command does.

use crate::{
    cli::{
        Badblocks,
        Command,
        Create,
        Snapshot, //
    },
    device::{
        read_if_there,
        Device,
        Root,
        State, //
    },
    error::{
        Error,
        Result, //
    },
    pages,
    settings::Setting,
    stats::Sample,
    table,
    units,
    usage::Usages, //
};
use serde_json::{
    json,
    Value, //
};
use std::{
    collections::BTreeSet,
    io::Write,
    thread::sleep,
    time::{
        Duration,
        Instant, //
    },
};

pub fn run(command: Command, root: &Root, out: &mut dyn Write) -> Result {
    match command {
        Command::Create(wanted) => create(root, &wanted, out),
        Command::List { json } => list(root, json, out),
        Command::Show { name, json } => show(root, &name, json, out),
        Command::Set {
            name,
            settings,
            force,
        } => set(&root.device(&name)?, &settings, force),
        Command::On { name } => on(&root.device(&name)?),
        Command::Off { name, force } => off(root, &name, force),
        Command::Remove { names, all, force } => remove(root, &names, all, force),
        Command::Badblocks { name, action } => badblocks(&root.device(&name)?, action, out),
        Command::Snapshot { name, action } => snapshot(&root.device(&name)?, action, out),
        Command::Stats { names, watch, json } => match watch {
            None => stats(root, &names, json, out),
            Some(interval) => watch_stats(root, &names, interval, json, out),
        },
        Command::Completions { shell } => Ok(out.write_all(pages::completions(shell).as_bytes())?),
        Command::Man => Ok(out.write_all(pages::manual()?.as_bytes())?),
    }
}

fn create(root: &Root, wanted: &Create, out: &mut dyn Write) -> Result {
    let device = root.describe(wanted.name().map_err(Error::Message)?)?;
    let done = set(&device, &wanted.settings(), false).and_then(|()| match wanted.no_power {
        true => Ok(device.name.clone()),
        false => device.set("power", "1").map(|()| device.path()),
    });
    match done {
        Ok(made) => Ok(writeln!(out, "{made}")?),
        Err(error) if device.remove().is_ok() => Err(error),
        Err(error) => Err(Error::new(format!(
            "{error}; remove what is left: rblkctl remove {}",
            device.name
        ))),
    }
}

fn list(root: &Root, as_json: bool, out: &mut dyn Write) -> Result {
    let usages = Usages::read(root)?;
    let mut objects = Vec::new();
    for device in root.devices()? {
        objects.extend(object(&device, &usages)?);
    }
    if as_json {
        return print_json(&objects.into(), out);
    }
    let heading = [
        "NAME",
        "SIZE",
        "BLOCK",
        "QUEUES",
        "STATE",
        "ORIGIN",
        "MOUNTPOINT",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    rows.extend(objects.iter().map(row));
    Ok(table::print(out, &rows, |column| {
        (1..=3).contains(&column)
    })?)
}

/// A device as a line of the list.
fn row(object: &Value) -> Vec<String> {
    let text = |name: &str| object[name].as_str().unwrap_or_default().to_string();
    let size = |name: &str, unit: u64| {
        let number = object[name].as_u64();
        number.map_or(String::new(), |number| {
            units::show_size(number.saturating_mul(unit))
        })
    };
    let queues = ["submit_queues", "read_queues", "poll_queues"].map(|name| object[name].as_u64());
    let queues = match queues.map(Option::unwrap_or_default) {
        _ if queues[0].is_none() => String::new(),
        [submit, 0, 0] => submit.to_string(),
        [submit, read, poll] => format!("{submit}+{read}+{poll}"),
    };
    let users = object["users"].as_array().into_iter().flatten();
    let users: Vec<_> = users.filter_map(Value::as_str).collect();
    vec![
        text("name"),
        size("size", 1 << 20),
        size("blocksize", 1),
        queues,
        text("state"),
        text("origin"),
        users.join(","),
    ]
}

fn show(root: &Root, name: &str, as_json: bool, out: &mut dyn Write) -> Result {
    let device = root.device(name)?;
    if as_json {
        let object = object(&device, &Usages::read(root)?)?;
        return print_json(&object.into(), out);
    }
    let attributes = device.attributes()?.into_iter();
    let rows: Vec<_> = attributes
        .map(|(name, value)| vec![name, value.replace('\n', ", ")])
        .collect();
    Ok(table::print(out, &rows, |_| false)?)
}

/// A device with all its attributes. Nothing if it vanishes meanwhile.
fn object(device: &Device<'_>, usages: &Usages<'_>) -> Result<Option<Value>> {
    let number_or_text = |text: String| match text.parse::<i64>() {
        Ok(number) => json!(number),
        Err(_) => json!(text),
    };
    let users = usages.of(device)?;
    let state = match device.state()? {
        State::On => "on",
        State::Off => "off",
        State::Gone => "gone",
    };
    let mut object = json!({
        "name": device.name,
        "path": device.path(),
        "state": state,
        "origin": if device.is_load_time { "load" } else { "configfs" },
        "users": users.into_iter().map(|usage| usage.shown).collect::<Vec<_>>(),
    });
    let attributes = device.attributes()?;
    if attributes.is_empty() {
        return Ok(None);
    }
    for (name, value) in attributes {
        object[name] = number_or_text(value);
    }
    Ok(Some(object))
}

fn print_json(value: &Value, out: &mut dyn Write) -> Result {
    Ok(writeln!(out, "{value:#}")?)
}

/// None is set if one of them does not exist.
fn set(device: &Device<'_>, settings: &[Setting], force: bool) -> Result {
    if force && settings.iter().all(|setting| setting.attribute != "size") {
        return Err(Error::new("--force is about size=, which is not given"));
    }
    for setting in settings {
        device.check_has(&setting.attribute)?;
    }
    for Setting { attribute, value } in settings {
        if force && attribute == "size" {
            device.set(attribute, &format!("{value} force"))?;
        } else {
            device.set(attribute, value)?;
        }
    }
    Ok(())
}

fn on(device: &Device<'_>) -> Result {
    match device.state()? {
        State::Off => device.set("power", "1"),
        State::On | State::Gone => device.check_on(),
    }
}

fn off(root: &Root, name: &str, force: bool) -> Result {
    let device = root.device(name)?;
    device.check_described()?;
    if !force {
        Usages::read(root)?.check_unused(&device)?;
    }
    device.set("power", "0")
}

/// None is removed if one of them is in use or cannot go.
fn remove(root: &Root, names: &[String], all: bool, force: bool) -> Result {
    let devices: Vec<_> = if all {
        let mut devices = root.devices()?;
        devices.retain(|device| !device.is_load_time);
        devices
    } else {
        let names: BTreeSet<_> = names.iter().collect();
        let devices = names.into_iter().map(|name| root.device(name));
        devices.collect::<Result<_>>()?
    };
    let usages = Usages::read(root)?;
    for device in &devices {
        device.check_described()?;
        if !force {
            usages.check_unused(device)?;
        }
    }
    let errors = devices.iter().filter_map(|device| device.remove().err());
    let errors: Vec<_> = errors.map(|error| error.to_string()).collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Message(errors.join("; "))),
    }
}

fn badblocks(device: &Device<'_>, action: Option<Badblocks>, out: &mut dyn Write) -> Result {
    match action {
        Some(Badblocks::Add { range }) => return device.set("badblocks", &format!("+{range}")),
        Some(Badblocks::Clear { range }) => return device.set("badblocks", &format!("-{range}")),
        None => {}
    }
    let attributes = device.attributes()?;
    let Some(list) = attributes.get("badblocks") else {
        return Err(Error::Message(format!(
            "{} has no bad blocks to list",
            device.name
        )));
    };
    for line in list.lines() {
        writeln!(out, "{}", bad_range(line).unwrap_or_else(|| line.into()))?;
    }
    Ok(())
}

fn snapshot(device: &Device<'_>, action: Option<Snapshot>, out: &mut dyn Write) -> Result {
    let (attribute, value) = match action {
        Some(Snapshot::Take { snapshot }) => ("snapshot", snapshot),
        Some(Snapshot::Rollback { snapshot, force }) => {
            let insisting = if force { " force" } else { "" };
            ("rollback", format!("{snapshot}{insisting}"))
        }
        Some(Snapshot::Drop { snapshot }) => ("drop", snapshot),
        None => {
            let attributes = device.attributes()?;
            let Some(list) = attributes.get("snapshot") else {
                return Err(Error::Message(format!(
                    "{} has no snapshots to list",
                    device.name
                )));
            };
            return Ok(list.lines().try_for_each(|name| writeln!(out, "{name}"))?);
        }
    };
    device.set(attribute, &value)
}

/// The driver's `START LENGTH` as `START-END`, which can be given back.
fn bad_range(line: &str) -> Option<String> {
    let (start, length) = line.split_once(' ')?;
    let (start, length): (u64, u64) = (start.parse().ok()?, length.parse().ok()?);
    let end = start.checked_add(length)?.checked_sub(1)?;
    Some(format!("{start}-{end}"))
}

fn stats(root: &Root, names: &[String], as_json: bool, out: &mut dyn Write) -> Result {
    let mut objects = Vec::new();
    for name in names {
        let (sample, in_flight) = sample(root, name)?;
        if as_json {
            let words = in_flight.split(' ');
            let mut numbers = words.filter_map(|word| word.parse::<u64>().ok());
            let mut object = sample.json(name);
            object["in_flight"] = json!({ "started": numbers.next(), "waiting": numbers.next() });
            objects.push(object);
        } else {
            table::print(out, &sample.turned(name), |column| column > 0)?;
            writeln!(out, "in flight: {in_flight}\n")?;
        }
    }
    match as_json {
        true => print_json(&objects.into(), out),
        false => Ok(()),
    }
}

fn watch_stats(
    root: &Root,
    names: &[String],
    interval: Duration,
    as_json: bool,
    out: &mut dyn Write,
) -> Result {
    let mut watched = Vec::new();
    for name in names {
        watched.push((name, sample(root, name)?.0, Instant::now()));
    }
    while !watched.is_empty() {
        sleep(interval);
        // What is off or gone is watched no longer.
        watched.retain(|(name, ..)| is_on(root, name));
        for (name, before, then) in &mut watched {
            let sample = match sample(root, name) {
                Ok((sample, _)) => sample,
                Err(_) if !is_on(root, name) => continue,
                Err(error) => return Err(error),
            };
            let rates = sample.rates(before, then.elapsed().as_secs_f64());
            (*before, *then) = (sample, Instant::now());
            if as_json {
                writeln!(out, "{}", rates.json(name))?;
            } else {
                let table = rates.turned(&format!("{name}/s"));
                table::print(out, &table, |column| column > 0)?;
                writeln!(out)?;
            }
            out.flush()?;
        }
    }
    Ok(())
}

fn is_on(root: &Root, name: &str) -> bool {
    root.device(name)
        .is_ok_and(|device| matches!(device.state(), Ok(State::On)))
}

/// What the queues of a device counted, and the requests in flight, in the driver's words.
fn sample(root: &Root, name: &str) -> Result<(Sample, String)> {
    let device = root.device(name)?;
    device.check_on()?;
    root.check_debugfs()?;
    let read = |file| {
        let text = read_if_there(&device.debugfs().join(file))?;
        text.ok_or_else(|| Error::new(format!("{name} has no {file} below debugfs")))
    };
    Ok((Sample::parse(&read("queues")?)?, read("in_flight")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::Cli,
        fake::Fake, //
    };
    use clap::Parser;

    /// What a command line prints, or its error.
    fn run_line(fake: &Fake, line: &str) -> std::result::Result<String, String> {
        let command = Cli::try_parse_from(line.split(' '))
            .expect("command line")
            .command;
        let mut out = Vec::new();
        match run(command.expect("command"), &fake.root, &mut out) {
            Ok(()) => Ok(String::from_utf8_lossy(&out).into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn json(fake: &Fake, line: &str) -> Value {
        serde_json::from_str(&run_line(fake, line).expect(line)).expect("JSON")
    }

    /// A device made at load, one that is on and mounted, and one that is off.
    fn three_devices() -> Fake {
        let fake = Fake::new();
        fake.load_time();
        let rblk3 = [
            ("size", "1024"),
            ("blocksize", "512"),
            ("submit_queues", "2"),
            ("poll_queues", "1"),
        ];
        fake.on("rblk3", &rblk3);
        fake.write("sys/block/rblk3/dev", "259:3\n");
        let rblk4 = [
            ("size", "64"),
            ("submit_queues", "4"),
            ("badblocks", "0 8\n64 1"),
        ];
        fake.describe("rblk4", &rblk4);
        let mount = b"30 22 259:3 / /mnt rw - ext4 /dev/rblk3 rw\n30 22 8:1 / /\xff rw - ext4 /dev/sda1 rw\n";
        fake.write("proc/self/mountinfo", mount);
        let in_flight = "2 started, 1 of them wait in the device\n";
        fake.write("sys/kernel/debug/rnullblk/rblk0/in_flight", in_flight);
        fake
    }

    /// The list shows each device with its queues, its state and where it is mounted; one that is pulled out too.
    #[test]
    fn list_shows_all() {
        let fake = three_devices();
        fake.on("pulled", &[("size", "1")]);
        fake.write("sys/block/pulled/size", "0\n");
        let expected = "\
NAME    SIZE  BLOCK  QUEUES  STATE  ORIGIN    MOUNTPOINT
rblk3     1G    512   2+0+1  on     configfs  /mnt
rblk4    64M              4  off    configfs
pulled    1M                 gone   configfs
rblk0   512M     4K          on     load
";
        assert_eq!(run_line(&fake, "rblkctl list"), Ok(expected.into()));
        let gone = "pulled is gone: rblkctl off pulled, then rblkctl on pulled".to_string();
        assert_eq!(run_line(&fake, "rblkctl on pulled"), Err(gone));
    }

    /// JSON has all attributes, numbers as numbers, for one device as for all.
    #[test]
    fn json_has_all_attributes() {
        let fake = three_devices();
        let all = json(&fake, "rblkctl list --json");
        assert_eq!(all[0]["users"], json!(["/mnt"]));
        assert_eq!(all[1]["badblocks"], "0 8\n64 1");
        assert_eq!(all[2]["origin"], "load");
        let one = json(&fake, "rblkctl show rblk3 --json");
        assert_eq!(one, all[0]);
        assert_eq!((&one["size"], &one["state"]), (&json!(1024), &json!("on")));
    }

    /// Without configfs, what was made at load can be listed, shown, changed and counted.
    #[test]
    fn load_time_devices_need_no_configfs() {
        let fake = three_devices();
        std::fs::remove_dir_all(fake.root.path("sys/kernel/config")).expect("removed");
        run_line(&fake, "rblkctl set rblk0 size=1G").expect("set");
        assert_eq!(json(&fake, "rblkctl list --json")[0]["size"], 1024);
        let all = json(&fake, "rblkctl stats rblk0 --json");
        assert_eq!(all[0]["total"]["reads"], 7);
        assert_eq!(all[0]["in_flight"], json!({ "started": 2, "waiting": 1 }));
        let error = run_line(&fake, "rblkctl create").expect_err("no configfs");
        assert!(error.contains("modprobe configfs"), "{error}");
        let module = "rblk0 was made when the module was loaded and goes with it: rmmod rnullblk";
        for command in ["off", "remove"] {
            let line = format!("rblkctl {command} rblk0");
            assert_eq!(run_line(&fake, &line), Err(module.into()));
        }
    }

    /// If an attribute is refused, no description is left behind; nor is anything set if a key is unknown.
    #[test]
    fn nothing_is_half_done() {
        let fake = three_devices();
        let error = run_line(&fake, "rblkctl create d0 --size 1G").expect_err("refused");
        assert!(error.starts_with("d0 has no attribute size"), "{error}");
        assert!(fake.root.device("d0").is_err());
        let line = "rblkctl set rblk4 size=1G no_such=1";
        assert!(run_line(&fake, line).is_err());
        assert_eq!(json(&fake, "rblkctl show rblk4 --json")["size"], 64);
    }

    /// Snapshots are listed, and the attribute is the one of the action.
    #[test]
    fn snapshots_have_a_command() {
        let fake = three_devices();
        fake.describe(
            "lab",
            &[("snapshot", "one\ntwo"), ("rollback", ""), ("drop", "")],
        );
        let list = run_line(&fake, "rblkctl snapshot lab");
        assert_eq!(list, Ok("one\ntwo\n".into()));
        for (line, attribute, value) in [
            ("take three", "snapshot", "three"),
            ("rollback one --force", "rollback", "one force"),
            ("drop two", "drop", "two"),
        ] {
            run_line(&fake, &format!("rblkctl snapshot lab {line}")).expect(line);
            assert_eq!(json(&fake, "rblkctl show lab --json")[attribute], value);
        }
        let none = "rblk4 has no snapshots to list".to_string();
        assert_eq!(run_line(&fake, "rblkctl snapshot rblk4"), Err(none));
    }

    /// A mounted device is neither removed nor switched off, unless forced; then none of several goes.
    #[test]
    fn mounted_device_stays() {
        let fake = three_devices();
        fake.describe("empty", &[]);
        let refusal = Err("rblk3 is mounted on /mnt: unmount it first".to_string());
        assert_eq!(run_line(&fake, "rblkctl remove empty rblk3"), refusal);
        assert_eq!(run_line(&fake, "rblkctl remove --all"), refusal);
        assert_eq!(run_line(&fake, "rblkctl off rblk3"), refusal);
        assert_eq!(run_line(&fake, "rblkctl off rblk3 --force"), Ok("".into()));
        assert!(fake.root.device("empty").is_ok());
    }

    /// Names may be given twice, and one that cannot go does not keep the others.
    #[test]
    fn remove_goes_on() {
        let fake = Fake::new();
        fake.describe("a", &[("stuck", "1")]); // here, a directory with a file stays
        fake.describe("b", &[]);
        let stuck = "a: Directory not empty".to_string();
        assert_eq!(run_line(&fake, "rblkctl remove b a b"), Err(stuck));
        assert!(fake.root.device("b").is_err());
    }
}
