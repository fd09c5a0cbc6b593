//! A page in headless Chromium: what it looks like, and what of it is cut or covered.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// How it is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    /// In pixels.
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

/// Reports to the page around it what is wrong: text of a plot outside of it or over other text, and a page
/// wider than the screen.
const INSPECTOR: &str = r#"<script>
addEventListener("load", () => {
  const problems = [], root = document.documentElement;
  if (root.scrollWidth > innerWidth) problems.push(`the page is ${root.scrollWidth} wide`);
  for (const svg of document.querySelectorAll("svg")) {
    const picture = svg.getBoundingClientRect();
    if (picture.width < 100 || picture.right > innerWidth) problems.push(`a plot is ${picture.width} wide`);
    const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent.trim(), text.getBoundingClientRect()]);
    texts.forEach(([text, box], at) => {
      if (box.left < picture.left - 1 || box.right > picture.right + 1 || box.top < picture.top - 1 ||
          box.bottom > picture.bottom + 1) problems.push(`${text} is cut`);
      if (box.height < 7) problems.push(`${text} is ${box.height} high`);
      for (const [other, its] of texts.slice(at + 1))
        if (box.left < its.right && its.left < box.right && box.top + 3 < its.bottom && its.top + 3 < box.bottom)
          problems.push(`${text} covers ${other}`);
    });
  }
  parent.postMessage(problems.concat(`height ${root.scrollHeight}`), "*");
});
</script>"#;

/// What is wrong with it. A picture goes to the directory that PICTURES names, if any.
pub(crate) fn look_at(dir: &Path, page: &str, look: Look, name: &str) -> Vec<String> {
    let inspected = page.replace("</body>", &format!("{INSPECTOR}</body>"));
    fs::write(dir.join("page.html"), inspected).unwrap();
    let frame = dir.join("frame.html");
    fs::write(&frame, framed(look.width, 2000)).unwrap();
    let dom = chromium(
        dir,
        look,
        2000,
        &frame,
        &["--virtual-time-budget=10000", "--dump-dom"],
    );
    let dom = String::from_utf8(dom.stdout).unwrap();
    let (_, said) = dom.split_once("<pre>").unwrap();
    let (said, _) = said.split_once("</pre>").unwrap();
    let mut problems: Vec<String> = said.lines().map(str::to_owned).collect();
    let height = problems
        .pop()
        .and_then(|last| last.strip_prefix("height ")?.parse().ok());
    let height: u32 = height.unwrap_or_else(|| panic!("the page said nothing: {dom}"));
    if let Some(pictures) = env::var_os("PICTURES") {
        let colours = if look.dark { "dark" } else { "light" };
        let picture = Path::new(&pictures).join(format!("{name}-{colours}.png"));
        fs::write(&frame, framed(look.width, height)).unwrap();
        let argument = format!("--screenshot={}", picture.display());
        chromium(dir, look, height, &frame, &[&argument]);
        assert!(picture.exists(), "no {}", picture.display());
    }
    problems
}

/// A window of Chromium's is at least 500 pixels wide; a frame is as narrow as a phone.
fn framed(width: u32, height: u32) -> String {
    format!(
        r#"<!DOCTYPE html><body style="margin:0"><script>
addEventListener("message", event => document.querySelector("pre").textContent = event.data.join("\n"));
</script><iframe src="page.html" style="border:0;display:block;width:{width}px;height:{height}px"></iframe>
<pre></pre></body>"#
    )
}

/// It reads no page but ours, so it needs no sandbox of its own, which root cannot have.
#[allow(
    clippy::disallowed_methods,
    reason = "a browser that looks at the page"
)]
fn chromium(dir: &Path, look: Look, height: u32, page: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("--window-size={},{height}", look.width))
        .args(
            look.dark
                .then_some("--blink-settings=preferredColorScheme=0"),
        )
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "chromium: {said}");
    output
}
