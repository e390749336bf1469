// SPDX-License-Identifier: GPL-2.0

//! Completions and manual page, both from the definitions in `cli`.

use crate::cli::{
    Cli,
    Shell, //
};
use clap::CommandFactory;
use clap_complete::shells;
use clap_mangen::Man;
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
rblkctl stats rblk0 \-\-watch
rblkctl remove rblk0
.fi
.SH "SEE ALSO"
.BR lsblk (8),
.BR losetup (8),
.BR zramctl (8)
"#;

pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = Cli::command();
    match shell {
        Shell::Bash => clap_complete::generate(shells::Bash, &mut command, "rblkctl", &mut script),
        Shell::Zsh => clap_complete::generate(shells::Zsh, &mut command, "rblkctl", &mut script),
        Shell::Fish => clap_complete::generate(shells::Fish, &mut command, "rblkctl", &mut script),
    }
    script
}

/// One page: a section on each command follows what there is to say on all.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    let main = Man::new(command.clone())
        .section("1")
        .manual("User Commands");
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_description_section(&mut page)?;
    for subcommand in command.get_subcommands() {
        section(subcommand, &mut page)?;
    }
    page.extend(END_OF_MANUAL.bytes());
    Ok(page)
}

/// A command's own section: its manual page, a level down.
fn section(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    // What needs no words is in the synopsis.
    let own = Man::new(command.clone().mut_args(|arg| {
        let needs_no_words = arg.get_id() == "help" || arg.get_help().is_none();
        arg.hide(needs_no_words)
    }));
    let mut text = Vec::new();
    own.render_description_section(&mut text)?;
    own.render_synopsis_section(&mut text)?;
    own.render_options_section(&mut text)?;
    let heading = format!(".SH \"{}\"", command.get_name().to_uppercase());
    let text = String::from_utf8_lossy(&text)
        .replacen(".SH DESCRIPTION", &heading, 1)
        .replacen(".SH SYNOPSIS", ".PP", 1)
        .replacen(".SH OPTIONS\n", "", 1);
    page.extend(text.bytes());
    for action in command.get_subcommands() {
        let about = action
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let usage = action.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
        page.extend(format!(".TP\n{usage}\n{about}\n").bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual page has a section for each command, and says what exit statuses mean.
    #[test]
    fn manual_names_every_command() {
        let page = manual().expect("page");
        let page = String::from_utf8_lossy(&page);
        for command in Cli::command().get_subcommands() {
            let heading = format!(".SH \"{}\"\n", command.get_name().to_uppercase());
            assert!(page.contains(&heading), "{heading}");
        }
        assert!(page.contains(".SH \"EXIT STATUS\""));
        assert!(page.contains("START\\-END"));
    }

    /// Each shell's completions know every command.
    #[test]
    fn completions_name_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(shell);
            let script = String::from_utf8_lossy(&script);
            for command in Cli::command().get_subcommands() {
                assert!(
                    script.contains(command.get_name()),
                    "{}",
                    command.get_name()
                );
            }
        }
    }
}
