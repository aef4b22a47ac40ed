#include "text/jinja/methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "text/jinja/arguments.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

using Kind = Sequence::Kind;
using Method = Value (*)(const Value& self, const Arguments& arguments);
using Methods = std::map<std::string, Method, std::less<>>;

Value texts(const std::vector<std::string>& all, Kind kind = Kind::kList) {
  return make_sequence(kind, Values(all.begin(), all.end()));
}

// ---- what all characters of a text are

bool all_are(const Value& self, bool (*property)(char32_t)) {
  const std::u32string all = decode_utf8(*self.text());
  return !all.empty() && std::ranges::all_of(all, property);
}

bool is_title(char32_t c) {
  return !is_upper(c) && !is_lower(c) && lower(encode_utf8({&c, 1})) != encode_utf8({&c, 1});
}

// A text has case where a letter has and none has the other.
bool has_case(const Value& self, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  const std::u32string all = decode_utf8(*self.text());
  return std::ranges::any_of(all, wanted) && std::ranges::none_of(all, other) &&
         std::ranges::none_of(all, is_title);
}

// Digits as superscripts and in circles, which are no decimals (Numeric_Type=Digit).
bool is_digit(char32_t c) {
  constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
      {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
      {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
      {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
      {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  return is_decimal(c) || std::ranges::any_of(kRanges, [c](const auto& range) {
           return range.first <= c && c <= range.second;
         });
}

// ---- looking for a text in a text, at characters `start` to `end`

struct Part {
  std::u32string text;
  int64_t start;
};

// Of text[start:end]; none where start lies behind the text's end, where nothing is found.
std::optional<Part> part(const Value& self, const Bound& bound, size_t first) {
  std::u32string text = decode_utf8(*self.text());
  const auto size = static_cast<int64_t>(text.size());
  const auto place = [&](size_t i, int64_t otherwise) {
    const int64_t at = bound.some(i) ? bound.integer(i, 0) : otherwise;
    return at < 0 ? std::max<int64_t>(0, at + size) : at;
  };
  const int64_t start = place(first, 0), end = std::min(size, place(first + 1, size));
  if (start > size || end < start) return std::nullopt;
  return Part{text.substr(static_cast<size_t>(start), static_cast<size_t>(end - start)), start};
}

int64_t find(const Value& self, const Arguments& arguments, Side from) {
  const Bound bound("find", arguments, {"", "", ""}, 1);
  const std::u32string wanted = decode_utf8(bound.text(0));
  const auto text = part(self, bound, 1);
  if (!text) return -1;
  const size_t at = from == Side::kLeft ? text->text.find(wanted) : text->text.rfind(wanted);
  return at == std::u32string::npos ? -1 : static_cast<int64_t>(at) + text->start;
}

Value index(const Value& self, const Arguments& arguments, Side from) {
  const int64_t at = find(self, arguments, from);
  if (at < 0) throw TemplateError("substring not found");
  return at;
}

Value count(const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"", "", ""}, 1);
  const std::u32string wanted = decode_utf8(bound.text(0));
  const auto text = part(self, bound, 1);
  if (!text) return 0;
  if (wanted.empty()) return static_cast<int64_t>(text->text.size()) + 1;
  int64_t found = 0;
  for (size_t at = 0; (at = text->text.find(wanted, at)) != std::u32string::npos;) {
    at += wanted.size();
    ++found;
  }
  return found;
}

// startswith and endswith: one text, or a tuple of them.
Value touches(const Value& self, const Arguments& arguments, Side side) {
  const Bound bound(side == Side::kLeft ? "startswith" : "endswith", arguments, {"", "", ""}, 1);
  const Sequence* many = bound[0]->sequence();
  Values wanted{*bound[0]};
  if (many && many->kind == Kind::kTuple) wanted = many->items;
  const auto text = part(self, bound, 1);
  return std::ranges::any_of(wanted, [&](const Value& one) {
    if (!one.text()) throw TemplateError("startswith() and endswith() take texts");
    const std::u32string end = decode_utf8(*one.text());
    return text && (side == Side::kLeft ? text->text.starts_with(end) : text->text.ends_with(end));
  });
}

// ---- taking a text apart

Value strip_method(const Value& self, const Arguments& arguments, Side side) {
  const Bound bound("strip", arguments, {""});
  std::optional<std::string_view> set;
  if (bound.some(0)) set = bound.text(0);
  return strip(*self.text(), side, set);
}

Value split_method(const Value& self, const Arguments& arguments, Side from) {
  const Bound bound("split", arguments, {"sep", "maxsplit"});
  std::optional<std::string_view> separator;
  if (bound.some(0)) separator = bound.text(0);
  if (separator && separator->empty()) throw TemplateError("empty separator");
  return texts(split(*self.text(), separator, bound.integer(1, -1), from));
}

Value partition(const Value& self, const Arguments& arguments, Side from) {
  const Bound bound("partition", arguments, {""}, 1);
  const std::string &text = *self.text(), &separator = bound.text(0);
  if (separator.empty()) throw TemplateError("empty separator");
  const size_t at = from == Side::kLeft ? text.find(separator) : text.rfind(separator);
  if (at != std::string::npos) {
    return texts({text.substr(0, at), separator, text.substr(at + separator.size())}, Kind::kTuple);
  }
  return from == Side::kLeft ? texts({text, "", ""}, Kind::kTuple)
                             : texts({"", "", text}, Kind::kTuple);
}

Value remove_affix(const Value& self, const Arguments& arguments, Side side) {
  const Bound bound("removeprefix", arguments, {""}, 1);
  const std::string &text = *self.text(), &affix = bound.text(0);
  if (side == Side::kLeft) return text.starts_with(affix) ? text.substr(affix.size()) : text;
  return text.ends_with(affix) ? text.substr(0, text.size() - affix.size()) : text;
}

// ---- putting texts together

// Of `side`'s filling: kRight fills at the right end (ljust).
Value fill(const Value& self, const Arguments& arguments, Side side) {
  const Bound bound("center", arguments, {"", ""}, 1);
  const int64_t width = bound.integer(0, 0), size = length(self);
  const std::string filling = bound.text(1, " ");
  if (decode_utf8(filling).size() != 1) {
    throw TemplateError("the fill character must be exactly one character long");
  }
  const int64_t lacking = std::max<int64_t>(0, width - size);
  const int64_t before = side == Side::kRight  ? 0
                         : side == Side::kLeft ? lacking
                                               : lacking / 2 + (lacking & width & 1);
  const auto times = [&](int64_t n) { return to_text(reckon("*", filling, n)); };
  return times(before) + *self.text() + times(lacking - before);
}

Value zfill(const Value& self, const Arguments& arguments) {
  const Bound bound("zfill", arguments, {""}, 1);
  const std::string& text = *self.text();
  const bool has_sign = text.starts_with('-') || text.starts_with('+');
  const int64_t lacking = std::max<int64_t>(0, bound.integer(0, 0) - length(self));
  return text.substr(0, has_sign) + to_text(reckon("*", "0", lacking)) + text.substr(has_sign);
}

Value join(const Value& self, const Arguments& arguments) {
  const Bound bound("join", arguments, {""}, 1);
  std::string all;
  bool first = true;
  for (const Value& value : iterate(*bound[0])) {
    if (!value.text()) {
      throw TemplateError(
          fmt::format("join() takes texts, and one of its items is a {}", type_name(value)));
    }
    all += (first ? "" : *self.text()) + *value.text();
    first = false;
  }
  return all;
}

template <auto kFunction>
Value plain(const Value& self, const Arguments& arguments) {
  const Bound none("this method", arguments, {});
  return kFunction(*self.text());
}

template <auto kProperty>
Value property(const Value& self, const Arguments& arguments) {
  const Bound none("this method", arguments, {});
  return all_are(self, kProperty);
}

bool is_letter_or_number(char32_t c) { return is_alphabetic(c) || is_numeric(c); }

// A method of a side: sided<strip_method, Side::kLeft>.
template <auto kMethod, Side kSide>
Value sided(const Value& self, const Arguments& arguments) {
  return kMethod(self, arguments, kSide);
}

const Methods kTextMethods = {
    {"capitalize", plain<capitalize>},
    {"center", sided<fill, Side::kBoth>},
    {"count", count},
    {"endswith", sided<touches, Side::kRight>},
    {"find", sided<find, Side::kLeft>},
    {"format",
     [](const Value& self, const Arguments& a) -> Value { return format_braces(*self.text(), a); }},
    {"index", sided<index, Side::kLeft>},
    {"isalnum", property<is_letter_or_number>},
    {"isalpha", property<is_alphabetic>},
    {"isascii", plain<is_ascii>},
    {"isdecimal", property<is_decimal>},
    {"isdigit", property<is_digit>},
    {"islower",
     [](const Value& self, const Arguments&) -> Value {
       return has_case(self, is_lower, is_upper);
     }},
    {"isspace", property<is_space>},
    {"isupper",
     [](const Value& self, const Arguments&) -> Value {
       return has_case(self, is_upper, is_lower);
     }},
    {"join", join},
    {"ljust", sided<fill, Side::kRight>},
    {"lower", plain<lower>},
    {"lstrip", sided<strip_method, Side::kLeft>},
    {"partition", sided<partition, Side::kLeft>},
    {"removeprefix", sided<remove_affix, Side::kLeft>},
    {"removesuffix", sided<remove_affix, Side::kRight>},
    {"replace",
     [](const Value& self, const Arguments& a) -> Value {
       const Bound bound("replace", a, {"", "", ""}, 2);
       return replace(*self.text(), bound.text(0), bound.text(1), bound.integer(2, -1));
     }},
    {"rfind", sided<find, Side::kRight>},
    {"rindex", sided<index, Side::kRight>},
    {"rjust", sided<fill, Side::kLeft>},
    {"rpartition", sided<partition, Side::kRight>},
    {"rsplit", sided<split_method, Side::kRight>},
    {"rstrip", sided<strip_method, Side::kRight>},
    {"split", sided<split_method, Side::kLeft>},
    {"splitlines",
     [](const Value& self, const Arguments& a) -> Value {
       return texts(
           split_lines(*self.text(), Bound("splitlines", a, {"keepends"}).truth(0, false)));
     }},
    {"startswith", sided<touches, Side::kLeft>},
    {"strip", sided<strip_method, Side::kBoth>},
    {"title", plain<title>},
    {"upper", plain<upper>},
    {"zfill", zfill},
};

// ---- dictionaries and sequences

Value view(const Value& self, const Arguments& arguments, std::string_view what) {
  const Bound none(what, arguments, {});
  Values items;
  for (const auto& [key, value] : self.dict()->items) {
    items.push_back(what == "keys" ? key : what == "values" ? value : make_tuple({key, value}));
  }
  return make_sequence(Kind::kView, std::move(items), fmt::format("dict_{}", what));
}

const Methods kDictMethods = {
    {"copy", [](const Value& self, const Arguments&) { return self; }},
    {"get",
     [](const Value& self, const Arguments& a) {
       const Bound bound("get", a, {"", ""}, 1);
       const Value* found = self.dict()->find(*bound[0]);
       return found ? *found : bound[1] ? *bound[1] : Value(None{});
     }},
    {"items", [](const Value& self, const Arguments& a) { return view(self, a, "items"); }},
    {"keys", [](const Value& self, const Arguments& a) { return view(self, a, "keys"); }},
    {"values", [](const Value& self, const Arguments& a) { return view(self, a, "values"); }},
};

const Methods kSequenceMethods = {
    {"count",
     [](const Value& self, const Arguments& a) -> Value {
       const Bound bound("count", a, {""}, 1);
       return std::ranges::count_if(self.sequence()->items,
                                    [&](const Value& held) { return equal(held, *bound[0]); });
     }},
    {"index",
     [](const Value& self, const Arguments& a) -> Value {
       const Bound bound("index", a, {""}, 1);
       const Values& items = self.sequence()->items;
       const auto found =
           std::ranges::find_if(items, [&](const Value& held) { return equal(held, *bound[0]); });
       if (found == items.end()) throw TemplateError(repr(*bound[0]) + " is not in list");
       return static_cast<int64_t>(found - items.begin());
     }},
};

const Methods* methods_of(const Value& value) {
  if (value.text()) return &kTextMethods;
  if (value.dict()) return &kDictMethods;
  const Sequence* sequence = value.sequence();
  const bool counts =
      sequence && sequence->kind != Kind::kView && sequence->kind != Kind::kGenerator;
  return counts ? &kSequenceMethods : nullptr;
}

}  // namespace

std::optional<Value> find_method(const Value& value, const std::string& name) {
  const Methods* methods = methods_of(value);
  const bool may_have = value.text() || is_integer(value) || value.is<double>();
  if (may_have && is_unfollowed_method(name)) {
    throw TemplateError(fmt::format("the attribute '{}' is not followed", name));
  }
  if (!methods) return std::nullopt;
  const auto found = methods->find(name);
  if (found == methods->end()) return std::nullopt;
  const Text* text = std::get_if<Text>(&value);
  return make_function([self = value, method = found->second,
                        markup = text && text->markup](const Arguments& arguments) -> Value {
    Value made = method(self, arguments);
    const bool is_text = made.is<Text>();
    // Markup's methods escape their arguments and return markup.
    if (markup && (!arguments.positional.empty() || !arguments.named.empty() || !is_text)) {
      throw TemplateError("methods of what `safe` or `escape` made are not followed");
    }
    if (markup) std::get<Text>(made).markup = true;
    return made;
  });
}

bool is_unfollowed_method(std::string_view name) {
  static const std::set<std::string_view> names = {
      "casefold",         "real",       "imag",       "numerator",    "denominator",
      "encode",           "expandtabs", "format_map", "isidentifier", "isnumeric",
      "isprintable",      "swapcase",   "istitle",    "maketrans",    "translate",
      "as_integer_ratio", "bit_count",  "bit_length", "conjugate",    "from_bytes",
      "to_bytes",         "is_integer", "fromhex",    "hex",          "fromkeys"};
  return names.contains(name);
}

bool is_unsafe_method(const Value& value, std::string_view name) {
  static const std::set<std::string_view> of_lists = {"append", "clear", "pop",    "reverse",
                                                      "insert", "sort",  "extend", "remove"};
  static const std::set<std::string_view> of_dicts = {"clear", "pop", "popitem", "setdefault",
                                                      "update"};
  const Sequence* sequence = value.sequence();
  if (sequence) return sequence->kind == Kind::kList && of_lists.contains(name);
  return value.dict() && of_dicts.contains(name);
}

}  // namespace kvcomm::jinja
