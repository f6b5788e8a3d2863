#[allow(dead_code, unused)]
mod deliberate {
    //! Answers calls of a candidate's function: arguments are read by the types of its parameters.
    use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
    use std::hash::Hash;
    use std::io::{BufRead, Write};
    use std::os::unix::io::FromRawFd;

    #[derive(Clone, Debug)]
    pub enum Json { Null, Bool(bool), Number(String), Text(String), List(Vec<Json>), Object(Vec<(String, Json)>) }
    use Json::*;

    pub struct Reader { signs: Vec<char>, at: usize }

    impl Reader {
        fn next(&mut self) -> char {
            while self.at < self.signs.len() && self.signs[self.at].is_whitespace() { self.at += 1; }
            self.signs.get(self.at).copied().unwrap_or('\0')
        }
        fn take(&mut self, sign: char) -> bool {
            let there = self.next() == sign;
            self.at += there as usize;
            there
        }
        fn read(&mut self) -> Json {
            match self.next() {
                '"' => Text(self.text()),
                '[' => { self.take('['); let mut items = vec![]; while !self.take(']') { items.push(self.read()); self.take(','); } List(items) }
                '{' => self.object(),
                _ => self.word(),
            }
        }
        fn object(&mut self) -> Json {
            self.take('{');
            let mut members = vec![];
            while !self.take('}') {
                self.next();
                let name = self.text();
                self.take(':');
                members.push((name, self.read()));
                self.take(',');
            }
            if members.len() == 1 && members[0].0.starts_with('$') {
                return match members.pop() { Some((tag, Text(word))) if tag == "$float" || tag == "$int" => Number(word), Some((_, content)) => content, None => Null };
            }
            Object(members)
        }
        fn word(&mut self) -> Json {
            let start = self.at;
            while self.at < self.signs.len() && (self.signs[self.at].is_alphanumeric() || "+-.".contains(self.signs[self.at])) { self.at += 1; }
            let word: String = self.signs[start..self.at].iter().collect();
            match word.as_str() { "null" => Null, "true" => Bool(true), "false" => Bool(false), "" => panic!("no JSON"), _ => Number(word) }
        }
        fn text(&mut self) -> String {
            let mut units: Vec<u16> = vec![];
            self.at += 1;
            while self.signs[self.at] != '"' {
                let mut sign = self.signs[self.at];
                self.at += 1;
                if sign == '\\' {
                    sign = self.signs[self.at];
                    self.at += 1;
                    if sign == 'u' {
                        let code: String = self.signs[self.at..self.at + 4].iter().collect();
                        units.push(u16::from_str_radix(&code, 16).unwrap());
                        self.at += 4;
                        continue;
                    }
                    sign = match sign { 'b' => '\u{8}', 'f' => '\u{c}', 'n' => '\n', 'r' => '\r', 't' => '\t', other => other };
                }
                units.extend(sign.encode_utf16(&mut [0; 2]).iter());
            }
            self.at += 1;
            String::from_utf16_lossy(&units)
        }
    }

    pub trait From: Sized { fn from(json: &Json) -> Self; }
    pub trait To { fn to(&self) -> String; }

    fn quoted(text: &str) -> String {
        let escaped: String = text.chars().map(|sign| if (sign as u32) < 0x20 || sign == '"' || sign == '\\' { format!("\\u{:04x}", sign as u32) } else { sign.to_string() }).collect();
        format!("\"{}\"", escaped)
    }
    fn items(json: &Json) -> &Vec<Json> { if let List(items) = json { items } else { panic!("an argument is no list") } }
    fn joined<'a, T: To + 'a>(items: impl Iterator<Item = &'a T>) -> String { items.map(|item| item.to()).collect::<Vec<_>>().join(",") }
    fn leaked<T>(value: T) -> &'static mut T { Box::leak(Box::new(value)) }

    macro_rules! whole_numbers { ($($kind:ty)*) => { $(
        impl From for $kind { fn from(json: &Json) -> Self { match json { Number(word) => word.parse().expect(concat!("an argument is no ", stringify!($kind))), _ => panic!(concat!("an argument is no ", stringify!($kind))) } } }
        impl To for $kind { fn to(&self) -> String { self.to_string() } }
    )* } }
    whole_numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
    macro_rules! fractions { ($($kind:ty)*) => { $(
        impl From for $kind { fn from(json: &Json) -> Self { match json { Number(word) => word.parse().expect("an argument is no number"), _ => panic!("an argument is no number") } } }
        impl To for $kind { fn to(&self) -> String {
            if self.is_nan() { return "{\"$float\":\"nan\"}".into(); }
            if self.is_infinite() { return format!("{{\"$float\":\"{}inf\"}}", if *self < 0.0 { "-" } else { "" }); }
            format!("{:?}", self)
        } }
    )* } }
    fractions!(f32 f64);
    impl From for bool { fn from(json: &Json) -> Self { if let Bool(value) = json { *value } else { panic!("an argument is no boolean") } } }
    impl To for bool { fn to(&self) -> String { self.to_string() } }
    impl From for String { fn from(json: &Json) -> Self { if let Text(value) = json { value.clone() } else { panic!("an argument is no text") } } }
    impl To for String { fn to(&self) -> String { quoted(self) } }
    impl To for str { fn to(&self) -> String { quoted(self) } }
    impl From for char { fn from(json: &Json) -> Self { let text = <String as From>::from(json); if text.chars().count() == 1 { text.chars().next().unwrap() } else { panic!("an argument is no single character") } } }
    impl To for char { fn to(&self) -> String { quoted(&self.to_string()) } }
    impl To for () { fn to(&self) -> String { "null".into() } }
    impl<T: From> From for Option<T> { fn from(json: &Json) -> Self { if let Null = json { None } else { Some(T::from(json)) } } }
    impl<T: To> To for Option<T> { fn to(&self) -> String { self.as_ref().map_or("null".into(), |value| value.to()) } }
    impl<T: To, E: std::fmt::Debug> To for Result<T, E> { fn to(&self) -> String { match self { Ok(value) => value.to(), Err(error) => panic!("{:?}", error) } } }
    impl<T: From> From for Box<T> { fn from(json: &Json) -> Self { Box::new(T::from(json)) } }
    impl<T: To + ?Sized> To for Box<T> { fn to(&self) -> String { (**self).to() } }
    impl<T: To + ?Sized> To for &T { fn to(&self) -> String { (**self).to() } }
    impl<T: To + ?Sized> To for &mut T { fn to(&self) -> String { (**self).to() } }
    impl<T: To + ToOwned + ?Sized> To for std::borrow::Cow<'_, T> { fn to(&self) -> String { (**self).to() } }
    impl<T: To> To for [T] { fn to(&self) -> String { format!("[{}]", joined(self.iter())) } }
    impl<T: To, const N: usize> To for [T; N] { fn to(&self) -> String { format!("[{}]", joined(self.iter())) } }
    impl<T: From, const N: usize> From for [T; N] { fn from(json: &Json) -> Self { match <Vec<T> as From>::from(json).try_into() { Ok(array) => array, Err(_) => panic!("an argument is no list of {}", N) } } }

    macro_rules! lists { ($($kind:ident)*) => { $(
        impl<T: From> From for $kind<T> { fn from(json: &Json) -> Self { items(json).iter().map(T::from).collect() } }
        impl<T: To> To for $kind<T> { fn to(&self) -> String { format!("[{}]", joined(self.iter())) } }
    )* } }
    lists!(Vec VecDeque LinkedList);
    macro_rules! sets { ($($kind:ident: $($bound:ident)*;)*) => { $(
        impl<T: From $(+ $bound)*> From for $kind<T> { fn from(json: &Json) -> Self { items(json).iter().map(T::from).collect() } }
        impl<T: To $(+ $bound)*> To for $kind<T> { fn to(&self) -> String { format!("{{\"$set\":[{}]}}", joined(self.iter())) } }
    )* } }
    sets!(HashSet: Eq Hash; BTreeSet: Ord;);
    macro_rules! maps { ($($kind:ident: $($bound:ident)*;)*) => { $(
        impl<K: From $(+ $bound)*, V: From> From for $kind<K, V> { fn from(json: &Json) -> Self {
            match json {
                Object(members) => members.iter().map(|(name, value)| (K::from(&Text(name.clone())), V::from(value))).collect(),
                pairs => items(pairs).iter().map(|pair| (K::from(&items(pair)[0]), V::from(&items(pair)[1]))).collect(),
            }
        } }
        impl<K: To $(+ $bound)*, V: To> To for $kind<K, V> { fn to(&self) -> String {
            format!("{{\"$dict\":[{}]}}", self.iter().map(|(key, value)| format!("[{},{}]", key.to(), value.to())).collect::<Vec<_>>().join(","))
        } }
    )* } }
    maps!(HashMap: Eq Hash; BTreeMap: Ord;);

    // What a function borrows lives for as long as the program does.
    impl From for &'static str { fn from(json: &Json) -> Self { leaked(<String as From>::from(json)) } }
    impl<T: From> From for &'static [T] { fn from(json: &Json) -> Self { leaked(<Vec<T> as From>::from(json)) } }
    impl<T: From> From for &'static mut [T] { fn from(json: &Json) -> Self { leaked(<Vec<T> as From>::from(json)) } }
    impl<T: From> From for &'static T { fn from(json: &Json) -> Self { leaked(T::from(json)) } }
    impl<T: From> From for &'static mut T { fn from(json: &Json) -> Self { leaked(T::from(json)) } }

    pub trait Call<Arguments> { fn call(&self, given: &[Json]) -> String; }
    macro_rules! calls { ($count:literal $($kind:ident $at:tt)*) => {
        impl<F: Fn($($kind),*) -> R, R: To, $($kind: From),*> Call<($($kind,)*)> for F {
            fn call(&self, given: &[Json]) -> String {
                if given.len() != $count { panic!("it takes {} arguments", $count); }
                self($($kind::from(&given[$at])),*).to()
            }
        }
        impl<$($kind: To),*> To for ($($kind,)*) { fn to(&self) -> String { let parts: Vec<String> = vec![$(self.$at.to()),*]; format!("[{}]", parts.join(",")) } }
        impl<$($kind: From),*> From for ($($kind,)*) { fn from(json: &Json) -> Self {
            let parts = items(json);
            if parts.len() != $count { panic!("an argument is no list of {}", $count); }
            ($($kind::from(&parts[$at]),)*)
        } }
    } }
    impl<F: Fn() -> R, R: To> Call<()> for F { fn call(&self, given: &[Json]) -> String { if !given.is_empty() { panic!("it takes no arguments"); } self().to() } }
    calls!(1 A 0);
    calls!(2 A 0 B 1);
    calls!(3 A 0 B 1 C 2);
    calls!(4 A 0 B 1 C 2 D 3);
    calls!(5 A 0 B 1 C 2 D 3 E 4);
    calls!(6 A 0 B 1 C 2 D 3 E 4 G 5);
    calls!(7 A 0 B 1 C 2 D 3 E 4 G 5 H 6);
    calls!(8 A 0 B 1 C 2 D 3 E 4 G 5 H 6 I 7);

    extern "C" { fn dup(number: i32) -> i32; fn dup2(from: i32, to: i32) -> i32; }

    pub fn answer_calls<Arguments, F: Call<Arguments>>(function: F) {
        // What the candidate prints goes where it cannot be taken for an answer.
        let mut answers = unsafe { let kept = dup(1); dup2(2, 1); std::fs::File::from_raw_fd(kept) };
        for line in std::io::stdin().lock().lines() {
            let members = match (Reader { signs: line.unwrap().chars().collect(), at: 0 }).read() { Object(members) => members, _ => panic!("no question") };
            let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()).unwrap();
            let (mark, given) = (member("mark").to_text(), member("arguments"));
            let said = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| function.call(items(&given)))) {
                Ok(value) => format!("\"value\":{}", value),
                Err(error) => {
                    let text = error.downcast_ref::<String>().cloned().or(error.downcast_ref::<&str>().map(|text| text.to_string()));
                    format!("\"raised\":{}", quoted(&text.unwrap_or("a panic".into()).chars().take(500).collect::<String>()))
                }
            };
            answers.write_all(format!("{{\"mark\":{},{}}}\n", quoted(&mark), said).as_bytes()).unwrap();
        }
        std::process::exit(0);
    }

    impl Json { fn to_text(self) -> String { if let Text(text) = self { text } else { panic!("no text") } } }
}
