// Jinja's tests (`x is even`) and global functions.
#include <fmt/format.h>

#include <map>
#include <set>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"
#include "text/jinja/methods.h"

namespace kvcomm::jinja {
namespace {

using Kind = Sequence::Kind;

const Value& other(const Arguments& arguments) {
  const Bound bound("this test", arguments, {"other"}, 1);
  return *bound[0];
}

Value remainder(const Value& input, const Value& divisor) { return reckon("%", input, divisor); }

bool calls(const Value& input, const char* method) {
  const auto bound = find_method(to_text(input), method);
  return truth(std::get<std::shared_ptr<Object>>(*bound)->call({}));
}

bool is_iterable(const Value& input) {
  return input.is<Undefined>() || input.text() || input.dict() || input.sequence();
}

bool is_sequence(const Value& input) {
  const Sequence* sequence = input.sequence();
  if (sequence) return sequence->kind != Kind::kGenerator && sequence->kind != Kind::kView;
  return is_iterable(input);
}

// Identity, as far as it can be known of values: of None, True and False, and of what is held once.
bool is_same(const Value& a, const Value& b) {
  if (a.index() != b.index()) return false;
  if (a.is<None>() || a.is<bool>()) return equal(a, b);
  if (a.sequence() || a.dict()) return a.sequence() == b.sequence() && a.dict() == b.dict();
  if (std::holds_alternative<std::shared_ptr<Object>>(a)) return equal(a, b);
  throw TemplateError("sameas of texts and numbers is not followed");
}

bool is_callable(const Value& input) {
  const auto* object = std::get_if<std::shared_ptr<Object>>(&input);
  return input.is<Undefined>() || (object && (*object)->callable());
}

using Type = bool (*)(const Value&);

// A test without arguments.
template <Type kType>
bool plain(const Value& input, const Arguments& arguments) {
  const Bound none("this test", arguments, {});
  return kType(input);
}

template <int kSign, bool kOrEqual>
bool ordered(const Value& a, const Arguments& arguments) {
  const int order = compare(a, other(arguments));
  return order * kSign > 0 || (kOrEqual && order == 0);
}

bool equals(const Value& a, const Arguments& arguments) { return equal(a, other(arguments)); }
bool differs(const Value& a, const Arguments& arguments) { return !equal(a, other(arguments)); }

const std::map<std::string_view, Test> kTests = {
    {"!=", differs},
    {"<", ordered<-1, false>},
    {"<=", ordered<-1, true>},
    {"==", equals},
    {">", ordered<1, false>},
    {">=", ordered<1, true>},
    {"boolean", plain<[](const Value& v) { return v.is<bool>(); }>},
    {"callable", plain<is_callable>},
    {"defined", plain<[](const Value& v) { return !v.is<Undefined>(); }>},
    {"divisibleby",
     [](const Value& v, const Arguments& a) { return equal(remainder(v, other(a)), 0); }},
    {"eq", equals},
    {"equalto", equals},
    {"escaped", plain<[](const Value& v) { return v.text() && std::get<Text>(v).markup; }>},
    {"even", plain<[](const Value& v) { return equal(remainder(v, 2), 0); }>},
    {"false", plain<[](const Value& v) { return v.is<bool>() && !truth(v); }>},
    {"filter", plain<[](const Value& v) {
       return v.text() && (find_filter(*v.text()) || is_unfollowed_filter(*v.text()));
     }>},
    {"float", plain<[](const Value& v) { return v.is<double>(); }>},
    {"ge", ordered<1, true>},
    {"greaterthan", ordered<1, false>},
    {"gt", ordered<1, false>},
    {"in", [](const Value& v, const Arguments& a) { return contains(other(a), v); }},
    {"integer", plain<[](const Value& v) { return v.is<int64_t>(); }>},
    {"iterable", plain<is_iterable>},
    {"le", ordered<-1, true>},
    {"lessthan", ordered<-1, false>},
    {"lower", plain<[](const Value& v) { return calls(v, "islower"); }>},
    {"lt", ordered<-1, false>},
    {"mapping", plain<[](const Value& v) { return v.dict() != nullptr; }>},
    {"ne", differs},
    {"none", plain<[](const Value& v) { return v.is<None>(); }>},
    {"number", plain<[](const Value& v) { return is_integer(v) || v.is<double>(); }>},
    {"odd", plain<[](const Value& v) { return equal(remainder(v, 2), 1); }>},
    {"sameas", [](const Value& v, const Arguments& a) { return is_same(v, other(a)); }},
    {"sequence", plain<is_sequence>},
    {"string", plain<[](const Value& v) { return v.text() != nullptr; }>},
    {"test", plain<[](const Value& v) { return v.text() && find_test(*v.text()); }>},
    {"true", plain<[](const Value& v) { return v.is<bool>() && truth(v); }>},
    {"undefined", plain<[](const Value& v) { return v.is<Undefined>(); }>},
    {"upper", plain<[](const Value& v) { return calls(v, "isupper"); }>},
};

// ---- global functions

Value range(const Arguments& arguments) {
  const Bound bound("range", arguments, {"", "", ""}, 1);
  const int64_t start = bound[1] ? bound.integer(0, 0) : 0;
  const int64_t stop = bound.integer(bound[1] ? 1 : 0, 0), step = bound.integer(2, 1);
  constexpr int64_t kMost = 100000;  // of Jinja's sandbox
  if (step == 0) throw TemplateError("range() arg 3 must not be zero");
  Values items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (items.size() == kMost) throw TemplateError("range() goes over more than 100000 numbers");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  const std::string last = step == 1 ? "" : fmt::format(", {}", step);
  return make_sequence(Kind::kRange, std::move(items),
                       fmt::format("range({}, {}{})", start, stop, last));
}

// dict() and namespace(): a dictionary or pairs, then names.
std::vector<std::pair<Value, Value>> pairs(const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) throw TemplateError("dict() takes one argument by place");
  for (const Value& from : arguments.positional) {
    if (const Dict* other = from.dict()) {
      dict = *other;
      continue;
    }
    for (const Value& pair : iterate(from)) {
      const Values both = iterate(pair);
      if (both.size() != 2) throw TemplateError("dict() takes pairs");
      dict.set(both[0], both[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  return dict.items;
}

Value make_dict(const Arguments& arguments) {
  return std::make_shared<Dict>(Dict{pairs(arguments)});
}

Value make_namespace(const Arguments& arguments) {
  auto made = std::make_shared<Namespace>();
  for (auto& [key, value] : pairs(arguments)) made->set(to_text(key), std::move(value));
  return std::shared_ptr<Object>(std::move(made));
}

[[noreturn]] Value raise(const Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  throw TemplateError(to_text(*bound[0]));
}

}  // namespace

Test find_test(std::string_view name) {
  const auto found = kTests.find(name);
  return found == kTests.end() ? nullptr : found->second;
}

std::optional<Value> find_global(std::string_view name) {
  if (name == "range") return make_function(range);
  if (name == "dict") return make_function(make_dict);
  if (name == "namespace") return make_function(make_namespace);
  if (name == "raise_exception") return make_function(raise);
  return std::nullopt;
}

bool is_unfollowed_global(std::string_view name) {
  return name == "joiner" || name == "cycler" || name == "lipsum" || name == "self";
}

}  // namespace kvcomm::jinja
