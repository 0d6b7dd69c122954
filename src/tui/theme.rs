//! Roles and themes: what a colour *means* is chosen by the drawing code, what it *is* only here.
//!
//! Invariants: no other file of the console names a colour (`tests/it/console.rs` reads the sources for it); text
//! roles have at least 4.5 : 1 contrast on their canvas (8 : 1 in high contrast), see the test; without colour every
//! role that carries a state differs from plain text by an attribute.
//!
//! Deliberately not here: glyphs and words, which carry every state a second time.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Values.
    Text,
    /// Labels.
    Dim,
    /// Headings.
    Faint,
    /// Borders and rules.
    Line,
    /// Where keys go: key names, the focused border.
    Focus,
    /// Authority: leader, controller, vote.
    Lead,
    /// In sync, alive, the live clock.
    Sync,
    /// Behind, waiting, stalled, paused.
    Lag,
    /// Dead, refused, lost, destructive.
    Dead,
    /// Clients with their keys and values.
    Client,
    /// `Lead` at half strength, for shapes.
    LeadLow,
    /// `Sync` at half strength, for shapes.
    SyncLow,
    /// `Lag` at half strength, for shapes.
    LagLow,
    /// `Dead` at half strength, for shapes.
    DeadLow,
}

impl Role {
    /// The same meaning at half strength: healthy rows, the part of a log above the high watermark.
    pub fn low(self) -> Role {
        match self {
            Role::Lead => Role::LeadLow,
            Role::Sync => Role::SyncLow,
            Role::Lag => Role::LagLow,
            Role::Dead => Role::DeadLow,
            Role::Text => Role::Dim,
            other => other,
        }
    }
}

/// A surface to draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// The background of everything.
    Canvas,
    /// Bars and dialogs.
    Raise,
    /// The selection.
    Sel,
}

/// Which theme a user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThemeName {
    /// For dark rooms; the default where the terminal does not say that it is light.
    Dark,
    /// For light terminals and projectors.
    Light,
    /// At least 8 : 1 everywhere.
    HighContrast,
    /// No colour at all: attributes only.
    Mono,
}

impl ThemeName {
    /// All themes, in the order `:theme` lists them.
    pub const ALL: [ThemeName; 4] = [ThemeName::Dark, ThemeName::Light, ThemeName::HighContrast, ThemeName::Mono];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ThemeName::Dark => "dark",
            ThemeName::Light => "light",
            ThemeName::HighContrast => "high-contrast",
            ThemeName::Mono => "mono",
        }
    }

    /// The theme of that name.
    pub fn parse(name: &str) -> Option<ThemeName> {
        ThemeName::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// 24 bits.
    True,
    /// The cube of 256.
    Cube,
    /// The user's own 16.
    Sixteen,
}

/// The colours and attributes in use. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Which one.
    pub name: ThemeName,
    /// What the finished buffer is reduced to.
    pub depth: Depth,
    /// Use only ASCII characters.
    pub ascii: bool,
    /// Leave the terminal's own background alone.
    pub keep_background: bool,
    /// No flashing; a changed cell carries a mark for a second.
    pub reduced_motion: bool,
}

/// One row of the palette: canvas, raise, sel, then the roles in their order, then ink on chips and the colour of all
/// text behind a dialog.
struct Palette {
    grounds: [u32; 3],
    roles: [u32; 14],
    ink: u32,
    behind: u32,
    epochs: [u32; 6],
}

const DARK: Palette = Palette {
    grounds: [0x0E131B, 0x182030, 0x22304A],
    roles: [
        0xD7DEE8, 0x8E9BB0, 0x73829B, 0x303A4B, 0x5CB8F2, 0xEFACD6, 0x1FB08D, 0xF2D24B, 0xFF7A4D, 0xF0A53A, 0xA06E8E,
        0x1F7F6A, 0x8C7A30, 0x9C4E36,
    ],
    ink: 0x0A0F16,
    behind: 0x465165,
    epochs: [0x4389B5, 0xBE872C, 0x2C957A, 0xAE6F95, 0xB3A83C, 0x7480C4],
};

const LIGHT: Palette = Palette {
    grounds: [0xFBFCFD, 0xEEF1F5, 0xD9E8F8],
    roles: [
        0x1B2430, 0x51607A, 0x66748A, 0xC4CDD9, 0x0069B5, 0x8E1F6A, 0x007F60, 0x8F6B00, 0x9C1C00, 0xA65E00, 0xD59CC2,
        0x8CCBB8, 0xD9C26A, 0xE8A488,
    ],
    ink: 0xFFFFFF,
    behind: 0xB4BECB,
    epochs: [0x9FD2F5, 0xF6C877, 0x8EDCC2, 0xEBB7D6, 0xF5E98A, 0xB9C4F0],
};

const HIGH_CONTRAST: Palette = Palette {
    grounds: [0x000000, 0x101010, 0x00427A],
    roles: [
        0xFFFFFF, 0xD0D0D0, 0xA0A0A0, 0x7A7A7A, 0x56B4E9, 0xFF9ED8, 0x00E6AA, 0xFFEB3B, 0xFF8A50, 0xFFB52E, 0xC880AC,
        0x00B088, 0xC8B82E, 0xD0744A,
    ],
    ink: 0x000000,
    behind: 0x6E6E6E,
    epochs: [0x56B4E9, 0xE69F00, 0x00C794, 0xFF9ED8, 0xF0E442, 0x9AA8FF],
};

/// The twins of `DARK` among the 16 colours, place by place.
const SIXTEEN_GROUNDS: [Color; 3] = [Color::Reset, Color::Reset, Color::Blue];
const SIXTEEN_ROLES: [Color; 14] = [
    Color::White,
    Color::Gray,
    Color::DarkGray,
    Color::DarkGray,
    Color::LightCyan,
    Color::LightMagenta,
    Color::LightGreen,
    Color::LightYellow,
    Color::LightRed,
    Color::Yellow,
    Color::Magenta,
    Color::Green,
    Color::Yellow,
    Color::Red,
];
const SIXTEEN_EPOCHS: [Color; 6] =
    [Color::LightBlue, Color::Yellow, Color::Green, Color::Magenta, Color::LightYellow, Color::Cyan];

fn rgb(value: u32) -> Color {
    Color::Rgb((value >> 16) as u8, (value >> 8) as u8, value as u8)
}

impl Theme {
    /// The theme `name` at full depth.
    pub const fn new(name: ThemeName) -> Theme {
        Theme { name, depth: Depth::True, ascii: false, keep_background: false, reduced_motion: false }
    }

    /// The same theme with as many colours as the terminal has. With 16 colours there is one theme only, the dark one.
    pub fn with_depth(self, depth: Depth) -> Theme {
        let name = match (depth, self.name) {
            (Depth::Sixteen, ThemeName::Light | ThemeName::HighContrast) => ThemeName::Dark,
            (_, name) => name,
        };
        Theme { name, depth, ..self }
    }

    fn palette(&self) -> Option<&'static Palette> {
        match self.name {
            ThemeName::Dark => Some(&DARK),
            ThemeName::Light => Some(&LIGHT),
            ThemeName::HighContrast => Some(&HIGH_CONTRAST),
            ThemeName::Mono => None,
        }
    }

    /// Text or a shape in a role. Sets the foreground only (and attributes in the mono theme).
    pub fn fg(&self, role: Role) -> Style {
        match self.palette() {
            Some(palette) => Style::new().fg(rgb(palette.roles[role as usize])),
            None => match role {
                Role::Focus | Role::Lead | Role::Dead => Style::new().add_modifier(Modifier::BOLD),
                Role::Lag => Style::new().add_modifier(Modifier::UNDERLINED),
                Role::Text | Role::Sync | Role::Client | Role::Dim => Style::new(),
                Role::Faint | Role::Line | Role::LeadLow | Role::SyncLow | Role::LagLow | Role::DeadLow => {
                    Style::new().add_modifier(Modifier::DIM)
                }
            },
        }
    }

    /// Bold text in a role.
    pub fn bold(&self, role: Role) -> Style {
        self.fg(role).add_modifier(Modifier::BOLD)
    }

    /// A filled chip: the role's colour as ground, ink on it.
    pub fn chip(&self, role: Role) -> Style {
        match self.palette() {
            Some(palette) => {
                Style::new().fg(rgb(palette.ink)).bg(rgb(palette.roles[role as usize])).add_modifier(Modifier::BOLD)
            }
            None => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        }
    }

    /// The fill of a batch of a leader epoch, with text on it. Without colour odd epochs are reversed.
    pub fn epoch(&self, epoch: i32) -> Style {
        let index = epoch.rem_euclid(6) as usize;
        match self.palette() {
            Some(palette) => Style::new().fg(rgb(DARK.ink)).bg(rgb(palette.epochs[index])),
            None if epoch.rem_euclid(2) == 1 => Style::new().add_modifier(Modifier::REVERSED),
            None => Style::new(),
        }
    }

    /// A surface. Sets the background only (the selection is reversed in the mono theme).
    pub fn ground(&self, ground: Ground) -> Style {
        match (self.palette(), ground) {
            (Some(_), Ground::Canvas) if self.keep_background => Style::new().bg(Color::Reset),
            (Some(palette), ground) => Style::new().bg(rgb(palette.grounds[ground as usize])),
            (None, Ground::Sel) => Style::new().add_modifier(Modifier::REVERSED),
            (None, _) => Style::new(),
        }
    }

    /// Everything that was drawn so far steps back behind a dialog.
    pub fn grey_out(&self, buffer: &mut Buffer, area: ratatui::layout::Rect) {
        let ground = self.ground(Ground::Canvas);
        let style = match self.palette() {
            Some(palette) => ground.fg(rgb(palette.behind)),
            None => Style::new().add_modifier(Modifier::DIM),
        };
        for row in area.intersection(buffer.area).rows() {
            for position in row.positions() {
                let cell = &mut buffer[position];
                cell.modifier = Modifier::empty();
                cell.set_style(style);
            }
        }
    }

    /// Reduces the colours of the finished buffer to what the terminal has. Comes last, with the ASCII table.
    pub fn reduce(&self, buffer: &mut Buffer) {
        let reduce: fn(Color) -> Color = match (self.depth, self.name) {
            (Depth::True, _) | (_, ThemeName::Mono) => return,
            (Depth::Cube, _) => to_cube,
            (Depth::Sixteen, _) => to_sixteen,
        };
        for cell in &mut buffer.content {
            cell.fg = reduce(cell.fg);
            cell.bg = reduce(cell.bg);
        }
    }
}

/// The twin of a colour of the dark palette among the 16 colours.
fn to_sixteen(color: Color) -> Color {
    let Color::Rgb(red, green, blue) = color else { return color };
    let value = u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue);
    let find = |places: &[u32]| places.iter().position(|&place| place == value);
    if let Some(place) = find(&DARK.roles) {
        SIXTEEN_ROLES[place]
    } else if let Some(place) = find(&DARK.grounds) {
        SIXTEEN_GROUNDS[place]
    } else if let Some(place) = find(&DARK.epochs) {
        SIXTEEN_EPOCHS[place]
    } else if value == DARK.ink {
        Color::Black
    } else {
        Color::DarkGray
    }
}

/// The nearest colour of the 6 × 6 × 6 cube or the 24 greys (xterm's 16–255).
fn to_cube(color: Color) -> Color {
    const LEVELS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    let Color::Rgb(red, green, blue) = color else { return color };
    let want = [i32::from(red), i32::from(green), i32::from(blue)];
    let distance = |have: [i32; 3]| -> i32 { want.iter().zip(have).map(|(w, h)| (w - h) * (w - h)).sum() };
    let nearest = |value: i32| (0..6).min_by_key(|&level: &usize| (LEVELS[level] - value).abs()).unwrap_or(0);
    let cube = want.map(nearest);
    let cube_distance = distance(cube.map(|level| LEVELS[level]));
    let grey = ((want.iter().sum::<i32>() / 3 - 8 + 5) / 10).clamp(0, 23);
    if distance([8 + 10 * grey; 3]) < cube_distance {
        Color::Indexed(232 + grey as u8)
    } else {
        Color::Indexed((16 + 36 * cube[0] + 6 * cube[1] + cube[2]) as u8)
    }
}

/// The chosen theme from what the user said and the environment holds; each argument is the value of what it is named
/// after.
///
/// The order is `--theme`, `NO_COLOR` (any value but the empty one), `COLORTERM`, 256 colours, 16 colours.
pub fn choose(asked: Option<ThemeName>, no_color: &str, colorterm: &str, term: &str, light_terminal: bool) -> Theme {
    let depth = if matches!(colorterm, "truecolor" | "24bit") {
        Depth::True
    } else if term.contains("256color") || term.contains("kitty") || term.contains("direct") {
        Depth::Cube
    } else {
        Depth::Sixteen
    };
    let name = match asked {
        Some(name) => name,
        None if !no_color.is_empty() || term == "dumb" => ThemeName::Mono,
        None if light_terminal => ThemeName::Light,
        None => ThemeName::Dark,
    };
    Theme::new(name).with_depth(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(value: u32) -> f64 {
        let channel = |shift: u32| {
            let c = f64::from((value >> shift) as u8) / 255.0;
            if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    fn contrast(a: u32, b: u32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Text must be readable on every canvas: 4.5 : 1, in high contrast 8 : 1 (headings 7.5).
    #[test]
    fn text_roles_are_readable() {
        for (palette, least) in [(&DARK, 4.5), (&LIGHT, 4.5), (&HIGH_CONTRAST, 7.5)] {
            for role in [Role::Text, Role::Dim, Role::Faint, Role::Focus, Role::Lead, Role::Sync, Role::Lag, Role::Dead]
            {
                let ratio = contrast(palette.roles[role as usize], palette.grounds[0]);
                assert!(ratio >= least, "{role:?} has {ratio:.2}");
            }
        }
    }

    /// Every colour the dark theme can put into a buffer has a twin of its own kind; only greyed text falls to
    /// `DarkGray`.
    #[test]
    fn sixteen_colours_keep_the_roles() {
        let theme = Theme::new(ThemeName::Dark).with_depth(Depth::Sixteen);
        assert_eq!(to_sixteen(theme.fg(Role::Dead).fg.unwrap()), Color::LightRed);
        assert_eq!(to_sixteen(theme.fg(Role::DeadLow).fg.unwrap()), Color::Red);
        assert_eq!(to_sixteen(theme.ground(Ground::Sel).bg.unwrap()), Color::Blue);
        assert_eq!(to_sixteen(theme.chip(Role::Sync).fg.unwrap()), Color::Black);
        assert_eq!(to_sixteen(Color::Reset), Color::Reset);
    }

    #[test]
    fn the_cube_has_greys() {
        assert_eq!(to_cube(Color::Rgb(0, 0, 0)), Color::Indexed(16));
        assert_eq!(to_cube(Color::Rgb(255, 255, 255)), Color::Indexed(231));
        assert_eq!(to_cube(Color::Rgb(128, 128, 128)), Color::Indexed(244));
    }

    #[test]
    fn the_order_of_fallback() {
        let pick = |asked, no_color, colorterm, term| choose(asked, no_color, colorterm, term, false);
        assert_eq!(pick(None, "1", "truecolor", "xterm").name, ThemeName::Mono);
        assert_eq!(pick(Some(ThemeName::Dark), "1", "truecolor", "xterm").name, ThemeName::Dark);
        assert_eq!(pick(None, "", "truecolor", "xterm").depth, Depth::True);
        assert_eq!(pick(None, "", "", "xterm-256color").depth, Depth::Cube);
        assert_eq!(pick(None, "", "", "linux").depth, Depth::Sixteen);
        assert_eq!(choose(None, "", "24bit", "xterm", true).name, ThemeName::Light);
    }
}
