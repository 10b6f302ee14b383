//! The table of format codes (§1.6): code, type and layout of every constructor.

/// How the data behind a format code is laid out (§1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// This many octets.
    Fixed(usize),
    /// A size of one octet, or of four, then as many octets.
    Variable { wide: bool },
    /// Size and count of one octet each, or of four, then complete values.
    Compound { wide: bool },
    /// Size and count, one element constructor, then bare elements.
    Array { wide: bool },
}

/// The types that an array can hold, which are all primitive types (§1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// `null` (§1.6.1)
    Null,
    /// `boolean` (§1.6.2)
    Boolean,
    /// `ubyte` (§1.6.3)
    Ubyte,
    /// `ushort` (§1.6.4)
    Ushort,
    /// `uint` (§1.6.5)
    Uint,
    /// `ulong` (§1.6.6)
    Ulong,
    /// `byte` (§1.6.7)
    Byte,
    /// `short` (§1.6.8)
    Short,
    /// `int` (§1.6.9)
    Int,
    /// `long` (§1.6.10)
    Long,
    /// `float` (§1.6.11)
    Float,
    /// `double` (§1.6.12)
    Double,
    /// `decimal32` (§1.6.13)
    Decimal32,
    /// `decimal64` (§1.6.14)
    Decimal64,
    /// `decimal128` (§1.6.15)
    Decimal128,
    /// `char` (§1.6.16)
    Char,
    /// `timestamp` (§1.6.17)
    Timestamp,
    /// `uuid` (§1.6.18)
    Uuid,
    /// `binary` (§1.6.19)
    Binary,
    /// `string` (§1.6.20)
    String,
    /// `symbol` (§1.6.21)
    Symbol,
    /// `list` (§1.6.22)
    List,
    /// `map` (§1.6.23)
    Map,
    /// `array` (§1.6.24)
    Array,
}

macro_rules! format_codes {
    ($($name:ident = $code:literal $type:ident $layout:expr;)*) => {
        /// Format codes by their name in the specification.
        pub(crate) mod code {
            $(pub(crate) const $name: u8 = $code;)*
            /// What introduces a descriptor.
            pub(crate) const DESCRIBED: u8 = 0x00;
        }

        /// Type and layout of a format code; none where the code is unassigned.
        pub(crate) const fn lookup(code: u8) -> Option<(ElementType, Layout)> {
            match code {
                $(code::$name => Some((ElementType::$type, $layout)),)*
                _ => None,
            }
        }
    };
}

format_codes! {
    NULL = 0x40 Null Layout::Fixed(0);
    TRUE = 0x41 Boolean Layout::Fixed(0);
    FALSE = 0x42 Boolean Layout::Fixed(0);
    BOOLEAN = 0x56 Boolean Layout::Fixed(1);
    UBYTE = 0x50 Ubyte Layout::Fixed(1);
    USHORT = 0x60 Ushort Layout::Fixed(2);
    UINT0 = 0x43 Uint Layout::Fixed(0);
    SMALLUINT = 0x52 Uint Layout::Fixed(1);
    UINT = 0x70 Uint Layout::Fixed(4);
    ULONG0 = 0x44 Ulong Layout::Fixed(0);
    SMALLULONG = 0x53 Ulong Layout::Fixed(1);
    ULONG = 0x80 Ulong Layout::Fixed(8);
    BYTE = 0x51 Byte Layout::Fixed(1);
    SHORT = 0x61 Short Layout::Fixed(2);
    SMALLINT = 0x54 Int Layout::Fixed(1);
    INT = 0x71 Int Layout::Fixed(4);
    SMALLLONG = 0x55 Long Layout::Fixed(1);
    LONG = 0x81 Long Layout::Fixed(8);
    FLOAT = 0x72 Float Layout::Fixed(4);
    DOUBLE = 0x82 Double Layout::Fixed(8);
    DECIMAL32 = 0x74 Decimal32 Layout::Fixed(4);
    DECIMAL64 = 0x84 Decimal64 Layout::Fixed(8);
    DECIMAL128 = 0x94 Decimal128 Layout::Fixed(16);
    CHAR = 0x73 Char Layout::Fixed(4);
    TIMESTAMP = 0x83 Timestamp Layout::Fixed(8);
    UUID = 0x98 Uuid Layout::Fixed(16);
    VBIN8 = 0xa0 Binary Layout::Variable { wide: false };
    VBIN32 = 0xb0 Binary Layout::Variable { wide: true };
    STR8 = 0xa1 String Layout::Variable { wide: false };
    STR32 = 0xb1 String Layout::Variable { wide: true };
    SYM8 = 0xa3 Symbol Layout::Variable { wide: false };
    SYM32 = 0xb3 Symbol Layout::Variable { wide: true };
    LIST0 = 0x45 List Layout::Fixed(0);
    LIST8 = 0xc0 List Layout::Compound { wide: false };
    LIST32 = 0xd0 List Layout::Compound { wide: true };
    MAP8 = 0xc1 Map Layout::Compound { wide: false };
    MAP32 = 0xd1 Map Layout::Compound { wide: true };
    ARRAY8 = 0xe0 Array Layout::Array { wide: false };
    ARRAY32 = 0xf0 Array Layout::Array { wide: true };
}

impl ElementType {
    /// The specification's name of the type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Ubyte => "ubyte",
            Self::Ushort => "ushort",
            Self::Uint => "uint",
            Self::Ulong => "ulong",
            Self::Byte => "byte",
            Self::Short => "short",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Decimal32 => "decimal32",
            Self::Decimal64 => "decimal64",
            Self::Decimal128 => "decimal128",
            Self::Char => "char",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
            Self::Binary => "binary",
            Self::String => "string",
            Self::Symbol => "symbol",
            Self::List => "list",
            Self::Map => "map",
            Self::Array => "array",
        }
    }

    /// The format code for elements of this type in an array: full width, and the one-octet size where `narrow`.
    pub(crate) const fn array_code(self, narrow: bool) -> u8 {
        match (self, narrow) {
            (Self::Null, _) => code::NULL,
            (Self::Boolean, _) => code::BOOLEAN,
            (Self::Ubyte, _) => code::UBYTE,
            (Self::Ushort, _) => code::USHORT,
            (Self::Uint, _) => code::UINT,
            (Self::Ulong, _) => code::ULONG,
            (Self::Byte, _) => code::BYTE,
            (Self::Short, _) => code::SHORT,
            (Self::Int, _) => code::INT,
            (Self::Long, _) => code::LONG,
            (Self::Float, _) => code::FLOAT,
            (Self::Double, _) => code::DOUBLE,
            (Self::Decimal32, _) => code::DECIMAL32,
            (Self::Decimal64, _) => code::DECIMAL64,
            (Self::Decimal128, _) => code::DECIMAL128,
            (Self::Char, _) => code::CHAR,
            (Self::Timestamp, _) => code::TIMESTAMP,
            (Self::Uuid, _) => code::UUID,
            (Self::Binary, true) => code::VBIN8,
            (Self::Binary, false) => code::VBIN32,
            (Self::String, true) => code::STR8,
            (Self::String, false) => code::STR32,
            (Self::Symbol, true) => code::SYM8,
            (Self::Symbol, false) => code::SYM32,
            (Self::List, true) => code::LIST8,
            (Self::List, false) => code::LIST32,
            (Self::Map, true) => code::MAP8,
            (Self::Map, false) => code::MAP32,
            (Self::Array, true) => code::ARRAY8,
            (Self::Array, false) => code::ARRAY32,
        }
    }
}

/// The type that a format code stands for, by name.
pub(crate) fn type_of_code(code: u8) -> Option<&'static str> {
    if code == code::DESCRIBED {
        return Some("described");
    }
    lookup(code).map(|(element, _)| element.name())
}
