#include "text/jinja/value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

using Kind = Sequence::Kind;

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(fmt::format(format, std::forward<Args>(args)...));
}

bool is_number(const Value& value) { return is_integer(value) || value.is<double>(); }

double to_double(const Value& value) {
  const double* number = std::get_if<double>(&value);
  return number ? *number : static_cast<double>(to_integer(value));
}

std::string joined(const Values& values) {
  std::string all;
  for (const Value& value : values) all += (all.empty() ? "" : ", ") + repr(value);
  return all;
}

std::string sequence_repr(const Sequence& sequence) {
  switch (sequence.kind) {
    case Kind::kList:
      return "[" + joined(sequence.items) + "]";
    case Kind::kTuple:
      return "(" + joined(sequence.items) + (sequence.items.size() == 1 ? ",)" : ")");
    case Kind::kView:
      return sequence.name + "([" + joined(sequence.items) + "])";
    case Kind::kRange:
      if (!sequence.name.empty()) return sequence.name;
      break;
    case Kind::kGenerator:
      break;
  }
  fail("what goes through a sequence once has no text: make it a list");
}

template <typename T>
int sign(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

bool same_items(const Values& a, const Values& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), equal);
}

bool same_dicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = b.find(key);
    if (!other || !equal(value, *other)) return false;
  }
  return true;
}

void require_hashable(const Value& key) {
  const Sequence* sequence = key.sequence();
  if (key.dict() || (sequence && sequence->kind == Kind::kList)) {
    fail("unhashable type: '{}'", type_name(key));
  }
}

}  // namespace

const std::string* Value::text() const {
  const Text* held = std::get_if<Text>(this);
  return held ? &held->bytes : nullptr;
}

const Sequence* Value::sequence() const {
  const auto* held = std::get_if<std::shared_ptr<Sequence>>(this);
  return held ? held->get() : nullptr;
}

const Dict* Value::dict() const {
  const auto* held = std::get_if<std::shared_ptr<Dict>>(this);
  return held ? held->get() : nullptr;
}

const Value* Dict::find(const Value& key) const {
  for (const auto& [other, value] : items) {
    if (equal(other, key)) return &value;
  }
  return nullptr;
}

void Dict::set(const Value& key, Value value) {
  require_hashable(key);
  if (const Value* found = find(key)) {
    *const_cast<Value*>(found) = std::move(value);
  } else {
    items.emplace_back(key, std::move(value));
  }
}

Value Object::call(const Arguments&) { fail("it is no function and cannot be called"); }

std::optional<Value> Namespace::attribute(std::string_view name) const {
  for (const auto& [key, value] : items) {
    if (key == name) return value;
  }
  return std::nullopt;
}

void Namespace::set(const std::string& name, Value value) {
  for (auto& [key, old] : items) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(name, std::move(value));
}

Value make_sequence(Kind kind, Values items, std::string name) {
  return std::make_shared<Sequence>(Sequence{kind, std::move(items), 0, std::move(name)});
}
Value make_list(Values items) { return make_sequence(Kind::kList, std::move(items)); }
Value make_tuple(Values items) { return make_sequence(Kind::kTuple, std::move(items)); }
Value make_generator(Values items) { return make_sequence(Kind::kGenerator, std::move(items)); }
Value make_function(std::function<Value(const Arguments&)> body) {
  return std::shared_ptr<Object>(std::make_shared<Function>(std::move(body)));
}

std::string type_name(const Value& value) {
  if (const Sequence* sequence = value.sequence()) {
    switch (sequence->kind) {
      case Kind::kList:
        return "list";
      case Kind::kTuple:
        return "tuple";
      case Kind::kRange:
        return "range";
      case Kind::kView:
        return sequence->name;
      case Kind::kGenerator:
        return "generator";
    }
  }
  constexpr std::string_view kNames[] = {"Undefined", "NoneType", "bool", "int",   "float",
                                         "str",       "list",     "dict", "object"};
  return std::string(kNames[value.index()]);
}

bool truth(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) return false;
  if (const auto* number = std::get_if<double>(&value)) return *number != 0;
  if (is_integer(value)) return to_integer(value) != 0;
  if (const std::string* text = value.text()) return !text->empty();
  if (const Dict* dict = value.dict()) return !dict->items.empty();
  if (const Sequence* sequence = value.sequence()) {
    return sequence->kind == Kind::kGenerator || !sequence->items.empty();
  }
  return true;
}

std::string to_text(const Value& value) {
  if (value.is<Undefined>()) return "";
  const std::string* text = value.text();
  return text ? *text : repr(value);
}

std::string repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[400];
  auto end =
      std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  const std::string scientific(buffer, end);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return scientific;
  end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::fixed).ptr;
  const std::string fixed(buffer, end);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

std::string repr(const Value& value) {
  if (value.is<Undefined>()) return "Undefined";
  if (value.is<None>()) return "None";
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "True" : "False";
  if (const int64_t* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const double* number = std::get_if<double>(&value)) return repr(*number);
  if (const Text* text = std::get_if<Text>(&value)) {
    return text->markup ? "Markup(" + quoted(text->bytes) + ")" : quoted(text->bytes);
  }
  if (const Sequence* sequence = value.sequence()) return sequence_repr(*sequence);
  if (const Dict* dict = value.dict()) {
    std::string all;
    for (const auto& [key, held] : dict->items) {
      all += (all.empty() ? "" : ", ") + repr(key) + ": " + repr(held);
    }
    return "{" + all + "}";
  }
  fail("a function or a namespace has no text that could be written");
}

bool is_integer(const Value& value) { return value.is<int64_t>() || value.is<bool>(); }

int64_t to_integer(const Value& value) {
  if (const int64_t* number = std::get_if<int64_t>(&value)) return *number;
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
  if (const Undefined* undefined = std::get_if<Undefined>(&value)) fail("{}", undefined->complaint);
  fail("'{}' object cannot be interpreted as an integer", type_name(value));
}

bool equal(const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) {
    if (is_integer(a) && is_integer(b)) return to_integer(a) == to_integer(b);
    return to_double(a) == to_double(b);
  }
  if (a.index() != b.index()) return false;
  if (a.is<Undefined>() || a.is<None>()) return true;
  if (const std::string* text = a.text()) return *text == *b.text();
  if (const Dict* dict = a.dict()) return same_dicts(*dict, *b.dict());
  if (const Sequence* sequence = a.sequence()) {
    if (sequence == b.sequence()) return true;
    const bool by_items = sequence->kind != Kind::kGenerator && sequence->kind != Kind::kView;
    return by_items && sequence->kind == b.sequence()->kind &&
           same_items(sequence->items, b.sequence()->items);
  }
  return std::get<std::shared_ptr<Object>>(a) == std::get<std::shared_ptr<Object>>(b);
}

int compare(const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = std::get_if<Undefined>(value)) fail("{}", undefined->complaint);
  }
  if (is_integer(a) && is_integer(b)) return sign(to_integer(a), to_integer(b));
  if (is_number(a) && is_number(b)) return sign(to_double(a), to_double(b));
  if (a.text() && b.text()) return sign(*a.text(), *b.text());  // UTF-8's order is the characters'
  const Sequence *first = a.sequence(), *second = b.sequence();
  const bool ordered = first && second && first->kind == second->kind &&
                       (first->kind == Kind::kList || first->kind == Kind::kTuple);
  if (!ordered) {
    fail("'<' not supported between instances of '{}' and '{}'", type_name(a), type_name(b));
  }
  for (size_t i = 0; i < std::min(first->items.size(), second->items.size()); ++i) {
    if (!equal(first->items[i], second->items[i]))
      return compare(first->items[i], second->items[i]);
  }
  return sign(first->items.size(), second->items.size());
}

int64_t length(const Value& value) {
  if (value.is<Undefined>()) return 0;
  if (const std::string* text = value.text())
    return static_cast<int64_t>(decode_utf8(*text).size());
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->items.size());
  const Sequence* sequence = value.sequence();
  if (!sequence || sequence->kind == Kind::kGenerator) {
    fail("object of type '{}' has no len()", type_name(value));
  }
  return static_cast<int64_t>(sequence->items.size());
}

Values iterate(const Value& value) {
  Values items;
  if (value.is<Undefined>()) return items;
  if (const std::string* text = value.text()) {
    for (const char32_t character : decode_utf8(*text))
      items.push_back(encode_utf8({&character, 1}));
    return items;
  }
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, held] : dict->items) items.push_back(key);
    return items;
  }
  const auto* sequence = std::get_if<std::shared_ptr<Sequence>>(&value);
  if (!sequence) fail("'{}' object is not iterable", type_name(value));
  Sequence& held = **sequence;
  items.assign(held.items.begin() + static_cast<ptrdiff_t>(held.used), held.items.end());
  if (held.kind == Kind::kGenerator) held.used = held.items.size();
  return items;
}

bool contains(const Value& all, const Value& item) {
  if (const std::string* text = all.text()) {
    if (!item.text()) {
      fail("'in <string>' requires string as left operand, not {}", type_name(item));
    }
    return text->find(*item.text()) != std::string::npos;
  }
  if (const Dict* dict = all.dict()) {
    require_hashable(item);
    return dict->find(item) != nullptr;
  }
  for (const Value& held : iterate(all)) {
    if (equal(held, item)) return true;
  }
  return false;
}

void require_short(double bytes) {
  constexpr double kMostBytes = 256 << 20;
  if (bytes > kMostBytes) fail("a text of {} bytes is too long for a prompt", bytes);
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&#34;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace kvcomm::jinja
