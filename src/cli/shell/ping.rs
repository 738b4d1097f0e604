//! `ping`: how long a server takes to answer; with `--ready`, whether it takes clients.

use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::Output;
use crate::cli::shell::probe::Probe;
use crate::cli::shell::session::{AUTHENTICATION, CONNECTION, Session, fields};
use crate::cli::shell::target::Target;
use crate::client::error::Error;
use crate::client::url::Url;
use crate::json::write::{Array, Object};

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    options.no_more_words()?;
    if options.ready {
        return ask_ready(options, output);
    }
    let begun = Instant::now();
    let mut session = Session::open(options)?;
    let connected = begun.elapsed();
    let mut times = Vec::new();
    for number in 1..=options.count {
        let begun = Instant::now();
        session.client.ping().map_err(|error| session.failure(&error))?;
        let time = begun.elapsed();
        times.push(time);
        if !options.json {
            output.line(&format!("answer {number}: {:.3} ms", ms(time)))?;
            output.flush()?;
        }
    }
    if options.json {
        let mut out = Vec::new();
        Object::new(&mut out).f64("connectMs", ms(connected)).field("answersMs", |out| {
            let mut list = Array::new(out);
            for time in &times {
                list.raw(&ms(*time).to_string());
            }
        });
        return output.json(&String::from_utf8_lossy(&out));
    }
    let (sum, count): (Duration, u32) = (times.iter().sum(), options.count);
    let (least, most) =
        (times.iter().min().copied().unwrap_or_default(), times.iter().max().copied().unwrap_or_default());
    if count > 1 {
        output.line(&format!(
            "least {:.3} ms, mean {:.3} ms, most {:.3} ms",
            ms(least),
            ms(sum / count),
            ms(most)
        ))?;
    }
    output.line(&format!("connected in {:.3} ms", ms(connected)))
}

/// Asks `/readyz` beside the endpoint of the target, as load balancers do.
fn ask_ready(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let Target::Url(text, more) = &options.target else {
        return Err(Failure::usage(
            "--ready is about HTTP; write the URL of a server, such as http://127.0.0.1:3001/mcp",
        ));
    };
    if options.count > 1 {
        return Err(Failure::usage("--ready asks once; leave --count out"));
    }
    let url = Url::read(text).map_err(|error| Failure::usage(error.to_string()))?;
    let fields = [fields(options)?, more.clone()].concat();
    let path = ready_path(&url.target);
    let (status, said) =
        Probe::new(&url, &fields, options.timeout)?.get(&path).map_err(|error| match error {
            Error::Timeout => Failure {
                text: format!("{text}: no answer in {} s; see --timeout", options.timeout.as_secs_f64()),
                code: CONNECTION,
            },
            error => Failure { text: format!("{text}: {error}"), code: CONNECTION },
        })?;
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let failed = |code, remedy: &str| {
        Err(Failure { text: format!("{text}: {path} gets {status}{said}{remedy}"), code })
    };
    match status {
        200 if options.json => output.json(r#"{"ready":true}"#),
        200 => output.line("ready"),
        401 | 407 => failed(AUTHENTICATION, "; give a token with --token-file"),
        404 => failed(
            1,
            "; the server answers no health checks there: of mcp-rill, it wants --health or --health-listen",
        ),
        _ => failed(1, ""),
    }
}

/// The path of the check, beside that of an endpoint.
fn ready_path(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let folder = path.trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/readyz")
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_stands_beside_the_endpoint() {
        for (endpoint, path) in [
            ("/mcp", "/readyz"),
            ("/", "/readyz"),
            ("/mcp/", "/readyz"),
            ("/tools/mcp?x=/y", "/tools/readyz"),
            ("/readyz", "/readyz"),
        ] {
            assert_eq!(ready_path(endpoint), path, "{endpoint}");
        }
    }
}
