use std::path::Path;

use super::*;
use crate::config::Config;

/// Imports, and checks that what came out is a configuration with these jobs.
fn imported(text: &str, kind: Kind) -> Imported {
    let imported = import(text, kind);
    let config = Config::parse(&imported.toml, Path::new("host.toml"), Path::new("/srv"), 1);
    let config = config.unwrap_or_else(|error| panic!("{error}\n{}", imported.toml));
    let mut ids: Vec<&str> = imported.jobs.iter().map(|job| job.id.as_str()).collect();
    ids.sort_unstable();
    let read: Vec<&str> = config.jobs.keys().map(|id| id.as_str()).collect();
    assert_eq!(read, ids, "{}", imported.toml);
    imported
}

fn only(text: &str) -> ImportedJob {
    let imported = imported(text, Kind::User);
    assert_eq!((imported.jobs.len(), imported.faults.len()), (1, 0), "{text}: {imported:?}");
    imported.jobs[0].clone()
}

#[test]
fn a_line_becomes_a_job_with_the_command_as_a_comment() {
    let imported = imported("30 2 * * mon-fri\t/usr/local/bin/backup.sh --full\n", Kind::User);
    let (_, job) = imported.toml.split_once("\n\n").unwrap();
    assert_eq!(
        job,
        "# command: /usr/local/bin/backup.sh --full\n\
         [jobs.backup]\n\
         plugin = \"backup\"  # a placeholder: the plugin that does what the command did\n\
         trigger = { type = \"cron\", crontab = \"30 2 * * mon-fri\" }\n"
    );
    assert!(imported.toml.contains("let `timezone` at the top"));
}

#[test]
fn the_zone_is_that_of_the_lines_before_and_cron_tz_comes_before_tz() {
    let text = "0 1 * * * a\nTZ=Asia/Tokyo\n0 2 * * * b\nCRON_TZ = \"Europe/Berlin\"\n0 3 * * * c\n\
                CRON_TZ=\n0 4 * * * d\nTZ=':UTC'\n0 5 * * * e\n";
    let imported = imported(text, Kind::User);
    let zones: Vec<Value> =
        imported.jobs.iter().map(|job| job.trigger["timezone"].clone()).collect();
    assert_eq!(
        zones,
        [
            json!(null),
            json!("Asia/Tokyo"),
            json!("Europe/Berlin"),
            json!("Asia/Tokyo"),
            json!("UTC")
        ]
    );
    assert!(imported.toml.contains("# TZ=Asia/Tokyo\n"));
    assert_eq!(imported.faults, []);
}

#[test]
fn words_are_taken_as_they_are_or_as_what_they_mean() {
    for (word, crontab) in [
        ("@hourly", "@hourly"),
        ("@Daily", "@daily"),
        ("@midnight", "@daily"),
        ("@annually", "@yearly"),
        ("@every_minute", "* * * * *"),
        ("-*/5  1,2 * jan 7", "*/5 1,2 * jan 7"),
    ] {
        let job = only(&format!("{word} /bin/x"));
        assert_eq!(job.trigger["crontab"], crontab, "{word}");
    }
}

#[test]
fn what_has_no_equivalent_is_a_comment_with_the_reason() {
    let text = "@reboot /usr/bin/warm-up\n0~59 3 * * * roll\nMAILTO=root\nPATH=/usr/bin\n\
                # kept\n0 0 * * * mail -s \"100%\" x\n0 1 * * * date +\\%F\n";
    let imported = imported(text, Kind::User);
    assert_eq!((imported.jobs.len(), imported.faults.len()), (2, 0));
    for words in [
        "# line 1 has no equivalent: `@reboot` runs when the machine starts",
        "#     @reboot /usr/bin/warm-up\n",
        "# line 2 has no equivalent: `0~59` is a random value; choose one\n",
        "# MAILTO=root  (nothing is mailed: a run keeps its log)\n",
        "# PATH=/usr/bin  (jobs have no environment: use `config` or `args`)\n",
        "# kept\n",
    ] {
        assert!(imported.toml.contains(words), "{words}\n{}", imported.toml);
    }
    assert_eq!(imported.toml.matches("after the first `%`").count(), 1);
}

#[test]
fn broken_lines_are_told_by_number_and_the_others_are_taken() {
    let text = "0 2 * *\n0 25 * * * x\n0 3 * * * fine\n0 0 30 2 * x\n@fortnightly x\nCRON_TZ=Mars\n\
                0 4 * * *\nrubbish\n";
    let imported = imported(text, Kind::User);
    assert_eq!(imported.jobs.len(), 1);
    let faults: Vec<String> =
        imported.faults.iter().map(|it| format!("{}: {}", it.line, it.message)).collect();
    for (fault, part) in faults.iter().zip([
        "1: `0 2 * *` has 4 of the five fields",
        "2: hour: `25` is out of range; `hour` takes 0 to 23",
        "4: can never fire",
        "5: unknown word `@fortnightly`",
        "6: CRON_TZ: unknown time zone `Mars`",
        "7: has no command after the time",
        "8: `rubbish` has 1 of the five fields",
    ]) {
        assert!(fault.starts_with(part), "{fault}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}

#[test]
fn a_system_crontab_has_a_user_before_the_command() {
    let text = "17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n5 5 * * * root\n";
    let imported = imported(text, Kind::System);
    assert_eq!(imported.jobs[0].id, "cron-hourly");
    assert_eq!(imported.jobs[0].command, "cd / && run-parts --report /etc/cron.hourly");
    assert!(imported.toml.contains("# ran as user `root`\n"));
    assert_eq!(imported.faults[0].message, "has no user and command after the time");
}

#[test]
fn jobs_are_called_after_their_commands_and_each_has_its_own_name() {
    for (command, name) in [
        ("/usr/local/bin/backup.sh --full", "backup"),
        ("cd /srv/app && ./bin/report daily > /dev/null 2>&1", "report"),
        ("PYTHONPATH=/x /usr/bin/python3 -B /srv/jobs/clean_up.py", "clean_up"),
        ("nice -n 10 python3 -m shop.invoices", "shop-invoices"),
        ("sudo -u www-data php /var/www/cron.php", "cron"),
        ("flock -n /var/lock/x.lock /opt/sync", "sync"),
        ("timeout 30s /opt/poll", "poll"),
        (
            "test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )",
            "cron-daily",
        ),
        ("[ -d /x ] && rsync -a a b", "rsync"),
        ("bash -c 'exec /opt/job'", "job"),
        ("äöü", "job"),
        ("cd /tmp", "cd"),
        ("/opt/.hidden", "hidden"),
    ] {
        assert_eq!(only(&format!("0 0 * * * {command}")).id, name, "{command}");
    }
    let imported = imported("0 0 * * * a\n0 1 * * * a\n0 2 * * * a-2\n0 3 * * * a\n", Kind::User);
    let ids: Vec<&str> = imported.jobs.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["a", "a-2", "a-2-2", "a-3"]);
}

#[test]
fn nothing_that_a_comment_may_hold_breaks_the_file() {
    for command in
        ["printf '\u{1b}[2J'", "a \u{7f} \u{0}", "x # \"\"\" ''' [jobs.y]", "\u{85}\u{2028}x"]
    {
        imported(&format!("# {command}\n0 0 * * * {command}\n"), Kind::User);
    }
    assert_eq!(imported("", Kind::User).jobs, []);
    assert_eq!(only("0 0 * * * x\r\n").command, "x");
}
