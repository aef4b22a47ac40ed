#include "text/jinja/program.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"

namespace kvcomm::jinja {
namespace {

constexpr int kDeepest = 60;  // macros within macros: what the stack of any thread holds

// Counts a call of a macro or of a recursive loop; puts the line back when it returns.
class Descent {
 public:
  explicit Descent(Rendering& rendering) : rendering_(rendering), line_(rendering.line) {
    if (rendering.depth == kDeepest) {
      throw TemplateError(fmt::format("macros call each other more than {} deep", kDeepest));
    }
    ++rendering.depth;
  }
  void leave() { rendering_.line = line_; }
  ~Descent() { --rendering_.depth; }
  Descent(const Descent&) = delete;
  Descent& operator=(const Descent&) = delete;

 private:
  Rendering& rendering_;
  int line_;
};

// The variable `loop`. It lives in a scope of the rendering, so its functions may point to it.
struct Loop : Object {
  Loop(const ForLoop& loop, const Frame& around, Values all, int level)
      : node(loop), frame(around), items(std::move(all)), depth(level) {}

  const ForLoop& node;
  Frame frame;  // around the loop
  Values items;
  int depth;
  int64_t at = 0;
  std::optional<Value> last_seen;  // of changed()

  Value neighbour(int64_t place) const {
    const bool inside = place >= 0 && place < static_cast<int64_t>(items.size());
    return inside ? items[static_cast<size_t>(place)]
                  : Undefined{place < 0 ? "there is no previous item" : "there is no next item"};
  }

  Value cycle(const Arguments& arguments) const {
    const Values& given = arguments.positional;
    if (given.empty()) throw TemplateError("no items for cycling given");
    return given[static_cast<size_t>(at) % given.size()];
  }

  Value changed(const Arguments& arguments) {
    const Value seen = make_tuple(arguments.positional);
    const bool differs = !last_seen || !equal(*last_seen, seen);
    last_seen = seen;
    return differs;
  }

  std::optional<Value> attribute(std::string_view name) const override {
    const auto size = static_cast<int64_t>(items.size());
    auto* self = const_cast<Loop*>(this);
    if (name == "index") return at + 1;
    if (name == "index0") return at;
    if (name == "revindex") return size - at;
    if (name == "revindex0") return size - at - 1;
    if (name == "first") return at == 0;
    if (name == "last") return at + 1 == size;
    if (name == "length") return size;
    if (name == "depth") return depth + 1;
    if (name == "depth0") return depth;
    if (name == "previtem") return neighbour(at - 1);
    if (name == "nextitem") return neighbour(at + 1);
    if (name == "cycle") return make_function([self](const auto& a) { return self->cycle(a); });
    if (name == "changed") return make_function([self](const auto& a) { return self->changed(a); });
    return std::nullopt;
  }

  bool callable() const override { return node.recursive; }

  Value call(const Arguments& arguments) override {
    if (!node.recursive) throw TemplateError("only a loop marked 'recursive' can be called");
    Descent descent(frame.rendering);
    std::string text;
    Frame again = frame;
    again.out = &text;
    node.run(again, *Bound("loop", arguments, {"iterable"}, 1)[0], depth + 1);
    descent.leave();
    return text;
  }
};

struct BoundMacro : Object {
  BoundMacro(const Macro& bound, const Frame& around) : macro(bound), frame(around) {}
  const Macro& macro;
  Frame frame;  // where it was defined

  bool callable() const override { return true; }
  std::optional<Value> attribute(std::string_view) const override {
    throw TemplateError("the attributes of macros are not followed");
  }

  Value call(const Arguments& arguments) override {
    Descent descent(frame.rendering);
    Frame inside = frame.inside();
    std::string text;
    inside.out = &text;
    place(arguments, inside);
    jinja::run(macro.body, inside);
    descent.leave();
    return text;
  }

  void place(const Arguments& arguments, Frame& inside) const {
    const Values& given = arguments.positional;
    std::vector<std::pair<std::string, Value>> named = arguments.named;
    const auto take = [&](const std::string& name) -> std::optional<Value> {
      const auto found = std::ranges::find(named, name, &std::pair<std::string, Value>::first);
      if (found == named.end()) return std::nullopt;
      Value value = std::move(found->second);
      named.erase(found);
      return value;
    };
    const size_t count = macro.parameters.size();
    for (size_t i = 0; i < count; ++i) {
      const auto& [name, otherwise] = macro.parameters[i];
      std::optional<Value> value = i < given.size() ? std::optional(given[i]) : take(name);
      if (!value) value = otherwise ? otherwise(inside) : missing(name);
      inside.scope->set(name, std::move(*value));
    }
    if (macro.takes_caller) {
      inside.scope->set("caller", take("caller").value_or(Undefined{"No caller defined"}));
    }
    if (macro.takes_named) {
      Dict rest;
      for (auto& [name, value] : named) rest.set(name, std::move(value));
      inside.scope->set("kwargs", std::make_shared<Dict>(std::move(rest)));
    } else if (!named.empty()) {
      throw TemplateError(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name,
                                      named.front().first));
    }
    const bool has_more = given.size() > count;
    if (macro.takes_more) {
      Values more;
      if (has_more) more.assign(given.begin() + static_cast<ptrdiff_t>(count), given.end());
      inside.scope->set("varargs", make_tuple(std::move(more)));
    } else if (has_more) {
      throw TemplateError(
          fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, count));
    }
  }

  static Value missing(const std::string& name) {
    return Undefined{fmt::format("parameter '{}' was not provided", name)};
  }
};

}  // namespace

void Scope::set(const std::string& name, Value value) {
  const auto found = std::ranges::find(names, name, &std::pair<std::string, Value>::first);
  if (found != names.end()) {
    found->second = std::move(value);
  } else {
    names.emplace_back(name, std::move(value));
  }
}

Frame Frame::inside() const {
  rendering.scopes.push_back({.outside = scope, .names = {}});
  return {rendering, &rendering.scopes.back(), out};
}

Value Frame::find(const std::string& name) const {
  for (const Scope* looked = scope; looked; looked = looked->outside) {
    const auto found =
        std::ranges::find(looked->names, name, &std::pair<std::string, Value>::first);
    if (found != looked->names.end()) return found->second;
  }
  const auto given = rendering.variables.find(name);
  if (given != rendering.variables.end()) return given->second;
  if (const auto global = find_global(name)) return *global;
  return Undefined{fmt::format("'{}' is undefined", name)};
}

Expression constant(Value value) {
  return [value = std::move(value)](Frame&) { return value; };
}

Values all_of(const std::vector<Expression>& expressions, Frame& frame) {
  Values values;
  for (const Expression& expression : expressions) values.push_back(expression(frame));
  return values;
}

Flow run(const Block& block, Frame& frame) {
  for (const Statement& statement : block) {
    if (const Flow flow = statement(frame); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

std::string written(const Block& block, Frame& frame) {
  Frame inside = frame.inside();
  std::string text;
  inside.out = &text;
  run(block, inside);
  return text;
}

void Target::set(Frame& frame, const Value& value) const {
  if (is_several) {
    const Values values = iterate(value);
    if (values.size() != several.size()) {
      throw TemplateError(
          fmt::format("{} values cannot be unpacked into {} names", values.size(), several.size()));
    }
    for (size_t i = 0; i < values.size(); ++i) several[i].set(frame, values[i]);
  } else if (attribute.empty()) {
    frame.scope->set(name, value);
  } else {
    const Value held = frame.find(name);
    const auto* object = std::get_if<std::shared_ptr<Object>>(&held);
    auto* space = object ? dynamic_cast<Namespace*>(object->get()) : nullptr;
    if (!space) throw TemplateError("cannot assign attribute on non-namespace object");
    space->set(attribute, value);
  }
}

Flow ForLoop::run(Frame& frame, const Value& all, int depth) const {
  Values items;
  for (Value& item : iterate(all)) {
    if (condition) {
      Frame inside = frame.inside();
      target.set(inside, item);
      if (!truth(condition(inside))) continue;
    }
    items.push_back(std::move(item));
  }
  if (items.empty()) {
    Frame inside = frame.inside();
    return jinja::run(otherwise, inside);
  }
  const auto loop = std::make_shared<Loop>(*this, frame, std::move(items), depth);
  for (; loop->at < static_cast<int64_t>(loop->items.size()); ++loop->at) {
    Frame inside = frame.inside();
    inside.scope->set("loop", std::shared_ptr<Object>(loop));
    target.set(inside, loop->items[static_cast<size_t>(loop->at)]);
    if (jinja::run(body, inside) == Flow::kBreak) break;
  }
  return Flow::kOn;
}

Value bind(const Macro& macro, Frame& frame) {
  return std::shared_ptr<Object>(std::make_shared<BoundMacro>(macro, frame));
}

}  // namespace kvcomm::jinja
