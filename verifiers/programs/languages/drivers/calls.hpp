// Answers calls of a candidate's function: arguments are read by the types of its parameters.
#include <array>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace deliberate {

// What the candidate prints goes where it cannot be taken for an answer.
static FILE* const answers = [] {
  FILE* kept = fdopen(dup(1), "w");
  dup2(2, 1);
  return kept;
}();

struct Json {
  enum Kind { nothing, boolean, number, text, list, object } kind = nothing;
  std::string word;  // Of a text, a number, or a boolean.
  std::vector<std::string> names;
  std::vector<Json> items;
};

struct Reader {
  std::string_view left;

  char next() {
    while (!left.empty() && isspace(static_cast<unsigned char>(left[0]))) left.remove_prefix(1);
    return left.empty() ? '\0' : left[0];
  }

  bool take(char sign) {
    if (next() != sign) return false;
    left.remove_prefix(1);
    return true;
  }

  Json read() {
    switch (next()) {
      case '"': return {Json::text, text(), {}, {}};
      case '[': return list();
      case '{': return object();
      default: return word();
    }
  }

  Json word() {
    Json found{Json::number, {}, {}, {}};
    while (!left.empty() && (isalnum(static_cast<unsigned char>(left[0])) || std::string_view("+-.").find(left[0]) != left.npos)) {
      found.word += left[0];
      left.remove_prefix(1);
    }
    if (found.word.empty()) throw std::invalid_argument("no JSON");
    if (found.word == "null") found.kind = Json::nothing;
    if (found.word == "true" || found.word == "false") found.kind = Json::boolean;
    return found;
  }

  Json list() {
    Json found{Json::list, {}, {}, {}};
    for (take('['); !take(']'); take(',')) found.items.push_back(read());
    return found;
  }

  Json object() {
    Json found{Json::object, {}, {}, {}};
    for (take('{'); !take('}'); take(',')) {
      next();
      found.names.push_back(text());
      take(':');
      found.items.push_back(read());
    }
    return found.names.size() == 1 && found.names[0][0] == '$' ? tagged(found) : found;
  }

  static Json tagged(const Json& found) {
    Json content = found.items[0];
    if (found.names[0] == "$float" || found.names[0] == "$int") content.kind = Json::number;
    return content;  // Tuples, sets and dicts: a list.
  }

  std::string text() {
    std::string found;
    for (left.remove_prefix(1); left.at(0) != '"'; left.remove_prefix(1)) {
      if (left[0] != '\\') {
        found += left[0];
        continue;
      }
      left.remove_prefix(1);
      const auto place = std::string_view("bfnrt").find(left.at(0));
      if (left[0] == 'u') {
        add(found, code());
      } else {
        found += place == left.npos ? left[0] : "\b\f\n\r\t"[place];
      }
    }
    left.remove_prefix(1);
    return found;
  }

  unsigned code() {
    auto four = [this] { return std::stoul(std::string(left.substr(1, 4)), nullptr, 16); };
    unsigned found = four();
    left.remove_prefix(4);
    if (found >= 0xD800 && found < 0xDC00 && left.substr(1, 2) == "\\u") {
      left.remove_prefix(2);
      found = 0x10000 + ((found - 0xD800) << 10) + (four() - 0xDC00);
      left.remove_prefix(4);
    }
    return found;
  }

  static void add(std::string& to, unsigned code) {
    if (code < 0x80) {
      to += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const unsigned lead[] = {0xC0, 0xE0, 0xF0};
    to += static_cast<char>(lead[more - 1] | code >> 6 * more);
    for (int part = more - 1; part >= 0; --part) to += static_cast<char>(0x80 | (code >> 6 * part & 0x3F));
  }
};

template <class> inline constexpr bool never = false;
template <class T> concept Map = requires { typename T::mapped_type; };
template <class T> concept Set = requires { typename T::key_type; } && !Map<T>;
template <class T> concept Text = std::is_convertible_v<const T&, std::string_view>;
template <class T> concept Optional = requires(const T& value) { value.has_value(); *value; };
template <class T> concept Tuple = requires { std::tuple_size<T>::value; };
template <class T> concept Sequence = requires(const T& value) { value.begin(); value.end(); typename T::value_type; };

inline void require(bool holds, const char* wanted) {
  if (!holds) throw std::invalid_argument(std::string("an argument is no ") + wanted);
}

template <class T> T number_from(const Json& json) {
  require(json.kind == Json::number, "number");
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(std::stold(json.word));
  std::size_t end = 0;
  T value{};
  if constexpr (std::is_unsigned_v<T>) {
    const unsigned long long whole = std::stoull(json.word, &end);
    require(json.word[0] != '-' && whole <= std::numeric_limits<T>::max(), "number that its parameter holds");
    value = static_cast<T>(whole);
  } else {
    const long long whole = std::stoll(json.word, &end);
    require(whole >= std::numeric_limits<T>::min() && whole <= std::numeric_limits<T>::max(), "number that its parameter holds");
    value = static_cast<T>(whole);
  }
  require(end == json.word.size(), "whole number");
  return value;
}

template <class T> T from(const Json& json);

template <class T, std::size_t... At> T tuple_from(const Json& json, std::index_sequence<At...>) {
  require(json.kind == Json::list && json.items.size() == sizeof...(At), "list as long as its tuple");
  return T{from<std::tuple_element_t<At, T>>(json.items[At])...};
}

template <class T> T map_from(const Json& json) {
  T made;
  require(json.kind == Json::object || json.kind == Json::list, "object");
  for (std::size_t at = 0; at < json.items.size(); ++at) {
    if (json.kind == Json::list) {
      require(json.items[at].items.size() == 2, "list of pairs");
      made.emplace(from<typename T::key_type>(json.items[at].items[0]), from<typename T::mapped_type>(json.items[at].items[1]));
    } else {
      made.emplace(from<typename T::key_type>({Json::text, json.names[at], {}, {}}), from<typename T::mapped_type>(json.items[at]));
    }
  }
  return made;
}

template <class T> T from(const Json& json) {
  if constexpr (std::is_same_v<T, bool>) {
    require(json.kind == Json::boolean, "boolean");
    return json.word == "true";
  } else if constexpr (std::is_same_v<T, char>) {
    require(json.kind == Json::text && json.word.size() == 1, "single character");
    return json.word[0];
  } else if constexpr (std::is_arithmetic_v<T>) {
    return number_from<T>(json);
  } else if constexpr (std::is_constructible_v<T, std::string&&> && Text<T>) {
    require(json.kind == Json::text, "text");
    return T(json.word);
  } else if constexpr (Optional<T>) {
    return json.kind == Json::nothing ? T{} : T{from<typename T::value_type>(json)};
  } else if constexpr (Map<T>) {
    return map_from<T>(json);
  } else if constexpr (Tuple<T>) {
    return tuple_from<T>(json, std::make_index_sequence<std::tuple_size_v<T>>{});
  } else if constexpr (Sequence<T>) {
    require(json.kind == Json::list, "list");
    T made;
    for (const Json& item : json.items) made.insert(made.end(), from<typename T::value_type>(item));
    return made;
  } else {
    static_assert(never<T>, "arguments of this type cannot be made from JSON");
  }
}

inline std::string quoted(std::string_view text) {
  const std::string whole(text);
  if (std::mbstowcs(nullptr, whole.c_str(), 0) == static_cast<std::size_t>(-1)) throw std::invalid_argument("a text is no UTF-8");
  std::string made = "\"";
  for (const char sign : text) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(sign));
    if (static_cast<unsigned char>(sign) < 0x20 || sign == '"' || sign == '\\') made += escaped;
    else made += sign;
  }
  return made + '"';
}

template <class T> std::string number_text(T value) {
  if constexpr (std::is_integral_v<T>) return std::to_string(value);
  if (std::isnan(value)) return R"({"$float":"nan"})";
  if (std::isinf(value)) return value > 0 ? R"({"$float":"inf"})" : R"({"$float":"-inf"})";
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.17g", static_cast<double>(value));
  return digits;
}

template <class T> std::string to(const T& value);

template <class T> std::string pair_text(const T& pair, const char* between) {
  return to(pair.first) + between + to(pair.second);
}

template <class T> std::string map_text(const T& map) {
  constexpr bool named = Text<typename T::key_type>;
  std::string made;
  for (const auto& pair : map) {
    made += (made.empty() ? "" : ",") + (named ? pair_text(pair, ":") : "[" + pair_text(pair, ",") + "]");
  }
  return named ? "{" + made + "}" : R"({"$dict":[)" + made + "]}";
}

template <class T> std::string list_text(const T& list) {
  std::string made;
  bool first = true;
  for (const auto& item : list) {
    made += (first ? "" : ",") + to<typename T::value_type>(item);
    first = false;
  }
  return "[" + made + "]";
}

template <class T> std::string tuple_text(const T& tuple) {
  std::string made;
  std::apply([&](const auto&... item) { ((made += (made.empty() ? "" : ",") + to(item)), ...); }, tuple);
  return "[" + made + "]";
}

template <class T> std::string to(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, char>) return quoted({&value, 1});
  else if constexpr (std::is_arithmetic_v<T>) return number_text(value);
  else if constexpr (std::is_pointer_v<T> && Text<T>) return value == nullptr ? "null" : quoted(value);
  else if constexpr (Text<T>) return quoted(value);
  else if constexpr (Optional<T>) return value.has_value() ? to<typename T::value_type>(*value) : "null";
  else if constexpr (Map<T>) return map_text(value);
  else if constexpr (Set<T>) return R"({"$set":)" + list_text(value) + "}";
  else if constexpr (Tuple<T>) return tuple_text(value);
  else if constexpr (Sequence<T>) return list_text(value);
  else static_assert(never<T>, "JSON cannot say what this type returns");
}

// What an argument lives in while the function runs.
template <class P>
using Held = std::conditional_t<std::is_pointer_v<P>, std::string, std::remove_cv_t<std::remove_reference_t<P>>>;

template <class P> P pass(Held<P>& held) {
  if constexpr (std::is_pointer_v<P>) return held.data();
  else return static_cast<P>(held);
}

template <class R, class... P, class F, std::size_t... At>
std::string call(F function, const std::vector<Json>& given, std::index_sequence<At...>) {
  if (given.size() != sizeof...(P)) throw std::invalid_argument("it takes " + std::to_string(sizeof...(P)) + " arguments");
  std::tuple<Held<P>...> held{from<Held<P>>(given[At])...};
  if constexpr (std::is_void_v<R>) {
    function(pass<P>(std::get<At>(held))...);
    return "null";
  } else {
    return to<std::remove_cv_t<std::remove_reference_t<R>>>(function(pass<P>(std::get<At>(held))...));
  }
}

template <class Answer> int serve(Answer answer) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  char* line = nullptr;
  std::size_t size = 0;
  while (getline(&line, &size, stdin) > 0) {
    const Json question = Reader{line}.read();
    std::string mark, said;
    try {
      for (std::size_t at = 0; at < question.names.size(); ++at) {
        if (question.names[at] == "mark") mark = question.items[at].word;
      }
      for (std::size_t at = 0; at < question.names.size(); ++at) {
        if (question.names[at] == "arguments") said = "\"value\":" + answer(question.items[at].items);
      }
    } catch (const std::exception& error) {
      said = "\"raised\":" + quoted(std::string(error.what()).substr(0, 500));
    } catch (...) {
      said = "\"raised\":\"something that is no std::exception\"";
    }
    std::fprintf(answers, "{\"mark\":%s,%s}\n", quoted(mark).c_str(), said.c_str());
    std::fflush(answers);
  }
  std::_Exit(0);
}

template <class R, class... P> int answer_calls(R (*function)(P...)) {
  return serve([function](const std::vector<Json>& given) {
    return call<R, P...>(function, given, std::index_sequence_for<P...>{});
  });
}

template <class C, class F, class R, class... P> int answer_method(F method) {
  return serve([method](const std::vector<Json>& given) {
    C owner{};
    auto bound = [&](auto&&... passed) -> R { return (owner.*method)(std::forward<decltype(passed)>(passed)...); };
    return call<R, P...>(bound, given, std::index_sequence_for<P...>{});
  });
}

template <class C, class R, class... P> int answer_calls(R (C::*method)(P...)) {
  return answer_method<C, decltype(method), R, P...>(method);
}

template <class C, class R, class... P> int answer_calls(R (C::*method)(P...) const) {
  return answer_method<C, decltype(method), R, P...>(method);
}

}  // namespace deliberate
