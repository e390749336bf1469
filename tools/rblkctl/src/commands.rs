// SPDX-License-Identifier: GPL-2.0

//! What each command does.

use crate::{
    cli::{
        Badblocks,
        Command,
        Create, //
    },
    device::{
        read,
        Device,
        Origin,
        Roots, //
    },
    error::{
        Error,
        Result, //
    },
    pages,
    settings::Setting,
    stats::Sample,
    table, units,
    usage::{
        check_unused,
        usages, //
    },
};
use serde_json::{
    json,
    Value, //
};
use std::{
    io::Write,
    thread::sleep,
    time::{
        Duration,
        Instant, //
    },
};

pub fn run(command: Command, roots: &Roots, out: &mut dyn Write) -> Result {
    match command {
        Command::Create(wanted) => create(roots, &wanted, out),
        Command::List { json } => list(roots, json, out),
        Command::Show { name, json } => show(roots, &name, json, out),
        Command::Set {
            name,
            settings,
            force,
        } => set(&roots.device(&name)?, &settings, force),
        Command::On { name } => roots.device(&name)?.set("power", "1"),
        Command::Off { name, force } => off(roots, &name, force),
        Command::Remove { names, all, force } => remove(roots, &names, all, force),
        Command::Badblocks { name, action } => badblocks(&roots.device(&name)?, action, out),
        Command::Stats { names, watch, json } => match watch {
            None => stats(roots, &names, json, out),
            Some(interval) => watch_stats(roots, &names, interval, json, out),
        },
        Command::Completions { shell } => Ok(out.write_all(&pages::completions(shell))?),
        Command::Man => Ok(out.write_all(&pages::manual()?)?),
    }
}

fn create(roots: &Roots, wanted: &Create, out: &mut dyn Write) -> Result {
    let device = roots.describe(wanted.name().map_err(Error::Message)?)?;
    if let Err(error) = configure(&device, wanted) {
        return Err(match device.remove() {
            Ok(()) => error,
            Err(_) => Error::Message(format!(
                "{error}; remove what is left: rblkctl remove {}",
                device.name
            )),
        });
    }
    if wanted.no_power {
        writeln!(out, "{}", device.name)?;
    } else {
        writeln!(out, "{}", device.path())?;
    }
    Ok(())
}

fn configure(device: &Device<'_>, wanted: &Create) -> Result {
    for setting in wanted.settings() {
        device.set(&setting.attribute, &setting.value)?;
    }
    if wanted.no_power {
        Ok(())
    } else {
        device.set("power", "1")
    }
}

fn list(roots: &Roots, as_json: bool, out: &mut dyn Write) -> Result {
    let devices = roots.devices()?;
    if as_json {
        let objects: Result<Vec<_>> = devices.iter().map(|device| object(roots, device)).collect();
        return print_json(&objects?.into(), out);
    }
    let heading = ["NAME", "SIZE", "BLOCK", "QUEUES", "STATE", "MOUNTPOINT"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    for device in &devices {
        rows.push(row(roots, device)?);
    }
    Ok(table::print(out, &rows, |column| {
        (1..=3).contains(&column)
    })?)
}

fn row(roots: &Roots, device: &Device<'_>) -> Result<Vec<String>> {
    let attributes = device.attributes()?;
    let get = |name: &str| attributes.get(name).map_or("", String::as_str);
    let size = |name, unit: u64| {
        let number = get(name).parse::<u64>().ok();
        number.map_or(String::new(), |number| {
            units::show_size(number.saturating_mul(unit))
        })
    };
    let queues = match (get("submit_queues"), get("read_queues"), get("poll_queues")) {
        (submit, "" | "0", "" | "0") => submit.into(),
        (submit, read, poll) => [submit, read, poll]
            .map(|count| if count.is_empty() { "0" } else { count })
            .join("+"),
    };
    let users: Vec<_> = usages(roots, device)?
        .iter()
        .map(|usage| usage.show())
        .collect();
    Ok(vec![
        device.name.clone(),
        size("size", 1 << 20),
        size("blocksize", 1),
        queues,
        device.state().into(),
        users.join(","),
    ])
}

fn show(roots: &Roots, name: &str, as_json: bool, out: &mut dyn Write) -> Result {
    let device = roots.device(name)?;
    if as_json {
        return print_json(&object(roots, &device)?, out);
    }
    let attributes = device.attributes()?.into_iter();
    let rows: Vec<_> = attributes
        .map(|(name, value)| vec![name, value.replace('\n', ", ")])
        .collect();
    Ok(table::print(out, &rows, |_| false)?)
}

/// A device with all its attributes.
fn object(roots: &Roots, device: &Device<'_>) -> Result<Value> {
    let number_or_text = |text: String| match text.parse::<i64>() {
        Ok(number) => json!(number),
        Err(_) => json!(text),
    };
    let users: Vec<_> = usages(roots, device)?
        .iter()
        .map(|usage| usage.show())
        .collect();
    let mut object = json!({
        "name": device.name,
        "path": device.path(),
        "state": device.state(),
        "users": users,
    });
    for (name, value) in device.attributes()? {
        object[name] = number_or_text(value);
    }
    Ok(object)
}

fn print_json(value: &Value, out: &mut dyn Write) -> Result {
    Ok(writeln!(out, "{value:#}")?)
}

fn set(device: &Device<'_>, settings: &[Setting], force: bool) -> Result {
    if force && settings.iter().all(|setting| setting.attribute != "size") {
        return Err(Error::new("--force is about size=, which is not given"));
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

fn off(roots: &Roots, name: &str, force: bool) -> Result {
    let device = roots.device(name)?;
    if !force {
        check_unused(roots, &device)?;
    }
    device.set("power", "0")
}

/// None is removed if one of them is in use.
fn remove(roots: &Roots, names: &[String], all: bool, force: bool) -> Result {
    let devices: Vec<_> = if all {
        let described = |device: &Device<'_>| device.origin == Origin::Description;
        roots.devices()?.into_iter().filter(described).collect()
    } else {
        names
            .iter()
            .map(|name| roots.device(name))
            .collect::<Result<_>>()?
    };
    for device in devices.iter().filter(|_| !force) {
        check_unused(roots, device)?;
    }
    devices.iter().try_for_each(Device::remove)
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

/// The driver's `START LENGTH` as `START-END`, which can be given back.
fn bad_range(line: &str) -> Option<String> {
    let (start, length) = line.split_once(' ')?;
    let (start, length): (u64, u64) = (start.parse().ok()?, length.parse().ok()?);
    let end = start.checked_add(length)?.checked_sub(1)?;
    Some(format!("{start}-{end}"))
}

fn stats(roots: &Roots, names: &[String], as_json: bool, out: &mut dyn Write) -> Result {
    let mut objects = Vec::new();
    for name in names {
        let (sample, in_flight) = sample(roots, name)?;
        if as_json {
            let mut object = sample.json();
            object["name"] = json!(name);
            let mut numbers = in_flight
                .split(' ')
                .filter_map(|word| word.parse::<u64>().ok());
            object["in_flight"] = json!({ "started": numbers.next(), "waiting": numbers.next() });
            objects.push(object);
        } else {
            table::print(out, &sample.turned(name), |column| column > 0)?;
            writeln!(out, "in flight: {in_flight}\n")?;
        }
    }
    if as_json {
        print_json(&objects.into(), out)?;
    }
    Ok(())
}

fn watch_stats(
    roots: &Roots,
    names: &[String],
    interval: Duration,
    as_json: bool,
    out: &mut dyn Write,
) -> Result {
    let mut watched = Vec::new();
    for name in names {
        watched.push((name, sample(roots, name)?.0, Instant::now()));
    }
    while !watched.is_empty() {
        sleep(interval);
        let mut still_there = Vec::new();
        for (name, before, then) in watched {
            // A device that is gone is watched no longer.
            let Ok((sample, _)) = sample(roots, name) else {
                continue;
            };
            let now = Instant::now();
            let rates = sample.rates(&before, (now - then).as_secs_f64());
            if as_json {
                let mut object = rates.json();
                object["name"] = json!(name);
                writeln!(out, "{object}")?;
            } else {
                table::print(out, &rates.turned(&format!("{name}/s")), |column| {
                    column > 0
                })?;
                writeln!(out)?;
            }
            out.flush()?;
            still_there.push((name, sample, now));
        }
        watched = still_there;
    }
    Ok(())
}

/// What the queues of a device counted, and the requests in flight, in the driver's words.
fn sample(roots: &Roots, name: &str) -> Result<(Sample, String)> {
    let device = roots.device(name)?;
    if !device.is_on() {
        return Err(Error::Message(format!("{name} is off: rblkctl on {name}")));
    }
    let directory = device.debugfs();
    if directory.try_exists().is_ok_and(|exists| !exists) {
        return Err(Error::new(
            "debugfs is not mounted: mount -t debugfs debugfs /sys/kernel/debug",
        ));
    }
    let sample = Sample::parse(&read(&directory.join("queues"))?)?;
    Ok((sample, read(&directory.join("in_flight"))?))
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
        match run(command.expect("command"), &fake.roots, &mut out) {
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
        fake.load_time("rblk0");
        fake.describe(
            "rblk3",
            &[
                ("size", "1024"),
                ("blocksize", "512"),
                ("submit_queues", "2"),
                ("poll_queues", "1"),
                ("power", "1"),
            ],
        );
        fake.write("sys/block/rblk3/dev", "259:3\n");
        fake.describe(
            "rblk4",
            &[
                ("size", "64"),
                ("submit_queues", "4"),
                ("badblocks", "0 8\n64 1"),
            ],
        );
        fake.write(
            "proc/self/mountinfo",
            "30 22 259:3 / /mnt rw - ext4 /dev/rblk3 rw\n",
        );
        fake.write("proc/swaps", "Filename\n");
        fake.write(
            "debug/rnullblk/rblk0/in_flight",
            "2 started, 1 of them wait in the device\n",
        );
        fake
    }

    /// The list shows each device with its queues, its state and where it is mounted.
    #[test]
    fn list_shows_all() {
        let expected = "\
NAME   SIZE  BLOCK  QUEUES  STATE      MOUNTPOINT
rblk3    1G    512   2+0+1  on         /mnt
rblk4   64M              4  off
rblk0  512M     4K          load-time
";
        assert_eq!(
            run_line(&three_devices(), "rblkctl list"),
            Ok(expected.into())
        );
    }

    /// JSON has all attributes, numbers as numbers, for one device as for all.
    #[test]
    fn json_has_all_attributes() {
        let fake = three_devices();
        let all = json(&fake, "rblkctl list --json");
        assert_eq!(all[0]["users"], json!(["/mnt"]));
        assert_eq!(all[1]["badblocks"], "0 8\n64 1");
        let one = json(&fake, "rblkctl show rblk3 --json");
        assert_eq!(one, all[0]);
        assert_eq!((&one["size"], &one["state"]), (&json!(1024), &json!("on")));
    }

    /// Attributes are shown one a line.
    #[test]
    fn show_is_aligned() {
        let expected = "badblocks      0 8, 64 1\nsize           64\nsubmit_queues  4\n";
        assert_eq!(
            run_line(&three_devices(), "rblkctl show rblk4"),
            Ok(expected.into())
        );
    }

    /// If an attribute is refused, no description is left behind.
    #[test]
    fn failed_create_leaves_nothing() {
        let fake = Fake::new();
        let error = run_line(&fake, "rblkctl create d0 --size 1G").expect_err("refused");
        assert!(error.starts_with("d0 has no attribute size"), "{error}");
        assert_eq!(json(&fake, "rblkctl list --json"), json!([]));
    }

    /// A device without power is only described.
    #[test]
    fn create_prints_what_was_made() {
        let fake = Fake::new();
        assert_eq!(
            run_line(&fake, "rblkctl create --no-power"),
            Ok("rblk0\n".into())
        );
    }

    /// All that was asked for is written, power last.
    #[test]
    fn configure_writes_attributes_and_power() {
        let fake = Fake::new();
        fake.describe("d0", &[("size", "256"), ("power", "0")]);
        let device = fake.roots.device("d0").expect("device");
        let wanted = Create {
            size: Some(1024),
            ..Default::default()
        };
        configure(&device, &wanted).expect("configured");
        let values = device.attributes().expect("values");
        assert_eq!((&*values["size"], &*values["power"]), ("1024", "1"));
    }

    /// --force reaches the driver with the size, and means nothing elsewhere.
    #[test]
    fn force_belongs_to_size() {
        let fake = three_devices();
        run_line(&fake, "rblkctl set rblk4 size=1G submit_queues=8 --force").expect("set");
        let device = json(&fake, "rblkctl show rblk4 --json");
        assert_eq!(
            (&device["size"], &device["submit_queues"]),
            (&json!("1024 force"), &json!(8))
        );
        assert!(run_line(&fake, "rblkctl set rblk4 submit_queues=8 --force").is_err());
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
        assert_eq!(run_line(&fake, "rblkctl remove empty"), Ok("".into()));
        assert!(run_line(&fake, "rblkctl show empty").is_err());
    }

    /// Bad blocks are listed as they are given, and added and cleared in the driver's form.
    #[test]
    fn badblocks_are_ranges() {
        let fake = three_devices();
        assert_eq!(
            run_line(&fake, "rblkctl badblocks rblk4"),
            Ok("0-7\n64-64\n".into())
        );
        for (line, written) in [("add 8-15", "+8-15"), ("clear 0-7", "-0-7")] {
            run_line(&fake, &format!("rblkctl badblocks rblk4 {line}")).expect(line);
            assert_eq!(
                json(&fake, "rblkctl show rblk4 --json")["badblocks"],
                written
            );
        }
    }

    /// Counters of a device that is on, and what to do about one that is off.
    #[test]
    fn stats_are_of_devices_that_are_on() {
        let fake = three_devices();
        let all = json(&fake, "rblkctl stats rblk0 --json");
        assert_eq!(
            (&all[0]["name"], &all[0]["total"]["reads"]),
            (&json!("rblk0"), &json!(7))
        );
        assert_eq!(all[0]["in_flight"], json!({ "started": 2, "waiting": 1 }));
        let off = "rblk4 is off: rblkctl on rblk4".to_string();
        assert_eq!(run_line(&fake, "rblkctl stats rblk4"), Err(off));
    }

    /// An unknown device is an error that says how to find those that exist.
    #[test]
    fn unknown_device_is_named() {
        let expected = "there is no device x: 'rblkctl list' shows all".to_string();
        assert_eq!(run_line(&three_devices(), "rblkctl show x"), Err(expected));
    }
}
