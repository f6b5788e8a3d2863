import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Answers calls of a candidate's method: arguments are read by the types of its parameters. */
class DeliberateCalls {
    /** The first word is the method's name, the others are classes that may have it. */
    static void serve(String... words) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // What the candidate prints cannot be taken for an answer.
        List<Method> methods = methods(words);
        if (methods.isEmpty()) throw new NoSuchMethodException(words[0]);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Map<?, ?> question = (Map<?, ?>) new Reader(line).read();
            String said;
            try {
                said = "\"value\":" + text(call(methods, (List<?>) question.get("arguments")), 0);
            } catch (InvocationTargetException error) {
                said = "\"raised\":" + quoted(cut(error.getCause()));
            } catch (Exception | StackOverflowError error) {
                said = "\"raised\":" + quoted(cut(error));
            }
            String answer = " \n{\"mark\":" + quoted((String) question.get("mark")) + "," + said + "}\n";
            answers.write(answer.getBytes(StandardCharsets.UTF_8));
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static List<Method> methods(String... words) {
        List<Method> found = new ArrayList<>();
        for (int at = 1; at < words.length; at++) {
            try {
                for (Method method : Class.forName(words[at], false, DeliberateCalls.class.getClassLoader()).getDeclaredMethods()) {
                    if (method.getName().equals(words[0]) && !method.isBridge()) found.add(method);
                }
            } catch (ClassNotFoundException error) {
                continue; // The word stood in a comment, or within another class.
            }
        }
        return found;
    }

    private static Object call(List<Method> methods, List<?> given) throws Exception {
        IllegalArgumentException problem = new IllegalArgumentException("it does not take " + given.size() + " arguments");
        for (Method method : methods) {
            Type[] kinds = method.getGenericParameterTypes();
            if (kinds.length != given.size()) continue;
            Object[] arguments = new Object[kinds.length];
            try {
                for (int at = 0; at < kinds.length; at++) arguments[at] = as(kinds[at], given.get(at));
            } catch (IllegalArgumentException | ArithmeticException | ClassCastException error) {
                problem = new IllegalArgumentException("an argument does not fit: " + error.getMessage());
                continue;
            }
            method.setAccessible(true);
            return method.invoke(Modifier.isStatic(method.getModifiers()) ? null : owner(method), arguments);
        }
        throw problem;
    }

    private static Object owner(Method method) throws Exception {
        Constructor<?> constructor = method.getDeclaringClass().getDeclaredConstructor();
        constructor.setAccessible(true);
        return constructor.newInstance();
    }

    private static Object as(Type kind, Object value) {
        if (kind instanceof ParameterizedType) {
            Type[] inner = ((ParameterizedType) kind).getActualTypeArguments();
            return container((Class<?>) ((ParameterizedType) kind).getRawType(), inner, value);
        }
        if (kind instanceof java.lang.reflect.GenericArrayType) {
            return array(((java.lang.reflect.GenericArrayType) kind).getGenericComponentType(), value);
        }
        if (!(kind instanceof Class)) return loose(value);
        Class<?> plain = (Class<?>) kind;
        if (plain.isArray()) return array(plain.getComponentType(), value);
        if (value == null && !plain.isPrimitive()) return null;
        if (plain == boolean.class || plain == Boolean.class) return (Boolean) value;
        if (plain == char.class || plain == Character.class) {
            if (((String) value).length() != 1) throw new IllegalArgumentException("no single character");
            return ((String) value).charAt(0);
        }
        if (plain == String.class || plain == CharSequence.class) return (String) value;
        if (value instanceof BigDecimal) return number(plain, (BigDecimal) value);
        if (plain == Object.class) return loose(value);
        return container(plain, new Type[] {Object.class, Object.class}, value);
    }

    private static Object number(Class<?> kind, BigDecimal value) {
        if (kind == int.class || kind == Integer.class) return value.intValueExact();
        if (kind == long.class || kind == Long.class) return value.longValueExact();
        if (kind == double.class || kind == Double.class) return value.doubleValue();
        if (kind == float.class || kind == Float.class) return value.floatValue();
        if (kind == short.class || kind == Short.class) return value.shortValueExact();
        if (kind == byte.class || kind == Byte.class) return value.byteValueExact();
        if (kind == BigInteger.class) return value.toBigIntegerExact();
        if (kind == BigDecimal.class) return value;
        if (kind == Object.class || kind == Number.class) return loose(value);
        throw new IllegalArgumentException("a number for " + kind.getSimpleName());
    }

    private static Object loose(Object value) {
        if (!(value instanceof BigDecimal)) return value;
        BigDecimal number = (BigDecimal) value;
        if (number.scale() > 0) return number.doubleValue();
        return number.abs().compareTo(BigDecimal.valueOf(Integer.MAX_VALUE)) > 0 ? (Object) number.longValueExact() : (Object) number.intValueExact();
    }

    private static Object array(Type kind, Object value) {
        if (value == null) return null;
        Type raw = kind instanceof ParameterizedType ? ((ParameterizedType) kind).getRawType() : kind;
        List<?> items = (List<?>) value;
        Object made = Array.newInstance(raw instanceof Class ? (Class<?>) raw : Object.class, items.size());
        for (int at = 0; at < items.size(); at++) Array.set(made, at, as(kind, items.get(at)));
        return made;
    }

    private static Object container(Class<?> kind, Type[] inner, Object value) {
        if (kind == Optional.class) return Optional.ofNullable(as(inner[0], value));
        if (value == null) return null;
        if (Map.class.isAssignableFrom(kind)) return map(kind, inner, value);
        Collection<Object> made = kind.isAssignableFrom(ArrayList.class) ? new ArrayList<>()
            : kind.isAssignableFrom(LinkedHashSet.class) ? new LinkedHashSet<>()
            : kind.isAssignableFrom(TreeSet.class) ? new TreeSet<>()
            : kind.isAssignableFrom(LinkedList.class) ? new LinkedList<>()
            : kind.isAssignableFrom(ArrayDeque.class) ? new ArrayDeque<>() : null;
        if (made == null) throw new IllegalArgumentException("no JSON stands for " + kind.getSimpleName());
        for (Object item : (List<?>) value) made.add(as(inner[0], item));
        return made;
    }

    private static Object map(Class<?> kind, Type[] inner, Object value) {
        Map<Object, Object> made = kind.isAssignableFrom(LinkedHashMap.class) ? new LinkedHashMap<>() : new TreeMap<>();
        if (value instanceof Map) {
            ((Map<?, ?>) value).forEach((name, item) -> made.put(as(inner[0], name), as(inner[1], item)));
        } else {
            for (Object pair : (List<?>) value) made.put(as(inner[0], ((List<?>) pair).get(0)), as(inner[1], ((List<?>) pair).get(1)));
        }
        return made;
    }

    private static String text(Object value, int depth) {
        if (depth > 100) throw new IllegalStateException("a value nests too deep");
        if (value == null || value instanceof Boolean) return String.valueOf(value);
        if (value instanceof Double || value instanceof Float) return fraction(((Number) value).doubleValue(), value.toString());
        if (value instanceof Number) return value.toString();
        if (value instanceof CharSequence || value instanceof Character || value instanceof Enum) return quoted(value.toString());
        if (value instanceof Optional) return text(((Optional<?>) value).orElse(null), depth + 1);
        if (value instanceof Map) return mapping((Map<?, ?>) value, depth + 1);
        List<String> texts = new ArrayList<>();
        if (value.getClass().isArray()) {
            for (int at = 0; at < Array.getLength(value); at++) texts.add(text(Array.get(value, at), depth + 1));
            return "[" + String.join(",", texts) + "]";
        }
        if (value instanceof Iterable) {
            for (Object item : (Iterable<?>) value) texts.add(text(item, depth + 1));
            return (value instanceof Set ? "{\"$set\":[" : "[") + String.join(",", texts) + (value instanceof Set ? "]}" : "]");
        }
        return "{\"$object\":[" + quoted(value.getClass().getName()) + "," + quoted(cut(value)) + "]}";
    }

    private static String fraction(double value, String text) {
        if (Double.isNaN(value)) return "{\"$float\":\"nan\"}";
        if (Double.isInfinite(value)) return value > 0 ? "{\"$float\":\"inf\"}" : "{\"$float\":\"-inf\"}";
        return text;
    }

    private static String mapping(Map<?, ?> map, int depth) {
        boolean named = map.keySet().stream().allMatch(key -> key instanceof String);
        List<String> texts = new ArrayList<>();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            String key = text(entry.getKey(), depth), item = text(entry.getValue(), depth);
            texts.add(named ? key + ":" + item : "[" + key + "," + item + "]");
        }
        return (named ? "{" : "{\"$dict\":[") + String.join(",", texts) + (named ? "}" : "]}");
    }

    private static String cut(Object value) {
        String text = String.valueOf(value);
        return text.length() > 500 ? text.substring(0, 500) : text;
    }

    private static String quoted(String text) {
        StringBuilder made = new StringBuilder("\"");
        for (char sign : text.toCharArray()) {
            if (sign < ' ' || sign == '"' || sign == '\\' || Character.isSurrogate(sign)) made.append(String.format("\\u%04x", (int) sign));
            else made.append(sign);
        }
        return made.append('"').toString();
    }

    private static class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        private boolean take(char sign) {
            while (at < text.length() && Character.isWhitespace(text.charAt(at))) at++;
            boolean there = at < text.length() && text.charAt(at) == sign;
            if (there) at++;
            return there;
        }

        Object read() {
            if (take('"')) return string();
            if (take('[')) {
                List<Object> items = new ArrayList<>();
                for (; !take(']'); take(',')) items.add(read());
                return items;
            }
            if (!take('{')) return word();
            Map<String, Object> members = new LinkedHashMap<>();
            for (; !take('}'); take(',')) {
                take('"');
                String name = string();
                take(':');
                members.put(name, read());
            }
            String first = members.size() == 1 ? members.keySet().iterator().next() : "";
            return first.startsWith("$") ? members.get(first) : members; // Tuples, sets and dicts: a list.
        }

        private Object word() {
            int start = at;
            while (at < text.length() && "]},: ".indexOf(text.charAt(at)) < 0) at++;
            String word = text.substring(start, at);
            if (word.equals("null")) return null;
            return word.equals("true") || word.equals("false") ? (Object) Boolean.valueOf(word) : new BigDecimal(word);
        }

        private String string() {
            StringBuilder made = new StringBuilder();
            for (; text.charAt(at) != '"'; at++) {
                char sign = text.charAt(at);
                if (sign == '\\') {
                    sign = text.charAt(++at);
                    if (sign == 'u') {
                        sign = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                        at += 4;
                    } else if ("bfnrt".indexOf(sign) >= 0) {
                        sign = "\b\f\n\r\t".charAt("bfnrt".indexOf(sign));
                    }
                }
                made.append(sign);
            }
            at++;
            return made.toString();
        }
    }
}
