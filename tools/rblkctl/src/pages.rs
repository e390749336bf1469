// SPDX-License-Identifier: GPL-2.0

//! Completions and manual page, both from the definitions in `cli`.

use crate::cli::Cli;
use clap::{
    Command,
    CommandFactory, //
};
use clap_complete::Shell;
use clap_mangen::{
    roff::{
        roman,
        Roff, //
    },
    Man,
};
use std::io;

/// What the definitions do not say.
const END_OF_MANUAL: &str = r#".SH "EXIT STATUS"
.TP
0
All was done.
.TP
1
Something could not be done; one line on standard error says why.
.TP
2
The command line was not understood.
.SH FILES
.TP
/sys/kernel/config/rnullblk
a directory for each RAM disk, with a file for each attribute
.TP
/sys/kernel/debug/rnullblk
a directory for each RAM disk that is on, with its counters
.SH EXAMPLES
.nf
rblkctl create \-\-size 1G \-\-queues 4 \-\-latency 20us
rblkctl set rblk0 size=2G read_only=1
rblkctl badblocks rblk0 add 8\-15
rblkctl create lab store=thin \-\-size 16T
rblkctl snapshot lab take golden
rblkctl snapshot lab rollback golden
rblkctl stats rblk0 \-\-watch
rblkctl remove rblk0
.fi
.SH "SEE ALSO"
.BR lsblk (8),
.BR losetup (8),
.BR zramctl (8)
"#;

/// The names of RAM disks, for bash.
const NAMES: &str = "$(ls /sys/kernel/config/rnullblk 2>/dev/null | grep -vx features)";

pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rblkctl", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // Where zsh and fish complete nothing, bash would offer what the help calls an argument.
        for (argument, offered) in [
            (" <NAME>...", NAMES),
            (" [NAME]...", NAMES),
            (" <NAME>", NAMES),
            (" [NAME|KEY=VALUE]...", ""),
            (" <KEY=VALUE>...", ""),
            (" <START-END>", ""),
        ] {
            script = script.replace(argument, &format!(" {offered}"));
        }
    }
    script
}

/// One page: a section on each command follows what there is to say on all.
pub fn manual() -> io::Result<String> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    let main = Man::new(command.clone()).section("8");
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_description_section(&mut page)?;
    let mut sections = Roff::new();
    for command in command.get_subcommands() {
        sections.control("SH", [command.get_name().to_uppercase().as_str()]);
        describe(command, &mut sections);
    }
    page.extend(sections.to_roff().bytes());
    page.extend(END_OF_MANUAL.bytes());
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// How a command is called, what it does, and its arguments; then the same of what it can be followed by.
fn describe(command: &Command, page: &mut Roff) {
    let text = |styled: Option<&clap::builder::StyledStr>| {
        [roman(styled.map(ToString::to_string).unwrap_or_default())]
    };
    let usage = command.clone().render_usage().to_string();
    page.text([roman(usage.trim_start_matches("Usage: "))]);
    page.control("PP", []).text(text(command.get_about()));
    let arguments = command.get_arguments();
    for argument in arguments.filter(|argument| argument.get_id() != "help") {
        page.control("TP", []).text([roman(argument.to_string())]);
        page.text(text(argument.get_help()));
        let values: Vec<_> = argument
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_string())
            .collect();
        if argument.get_action().takes_values() && !values.is_empty() {
            page.text([roman(format!("({})", values.join(", ")))]);
        }
    }
    for action in command.get_subcommands() {
        page.control("PP", []);
        describe(action, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual page has a section for each command, and says what exit statuses mean and what can be repeated.
    #[test]
    fn manual_names_every_command() {
        let page = manual().expect("page");
        for command in Cli::command().get_subcommands() {
            let heading = format!(".SH {}\n", command.get_name().to_uppercase());
            assert!(page.contains(&heading), "{heading}");
        }
        assert!(page.contains(".SH \"EXIT STATUS\""));
        assert!(page.contains("START\\-END"));
        assert!(page.contains("<KEY=VALUE>..."));
    }

    /// bash offers devices, and no words that only the help has.
    #[test]
    fn bash_offers_devices() {
        let script = completions(Shell::Bash);
        assert!(script.contains("--force --help $(ls "));
        assert!(
            !script.contains("NAME>") && !script.contains("NAME]") && !script.contains("VALUE>")
        );
    }
}
