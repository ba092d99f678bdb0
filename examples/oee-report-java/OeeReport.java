import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Phaser;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;

/**
 * OEE of a plant's lines, shift by shift: OEE = availability × performance × quality.
 *
 * <p>The JDK alone, one file. The shifts are simulated, as a function of line and time, so that every instance shows
 * the same; {@link #shift} is where the records of a real MES would come in. Paths: {@code /}, {@code /api/shifts},
 * {@code /api/oee} (computes what it is given), {@code /report.csv}, {@code /healthz}.
 */
public final class OeeReport {
  private static final ZoneId PLANT = ZoneId.of(env("PLANT_ZONE", "Asia/Shanghai"));
  private static final List<String> LINES = List.of(env("LINES", "A,B,C").split(","));
  private static final int SHIFT_HOURS = 8;
  private static final int BREAK_MIN = 30;
  private static final long DRAIN_S = 5;

  /** Why a line stood still: a code, in Chinese, in English. */
  private enum Stop {
    BREAKDOWN("设备故障", "Breakdown"),
    SETUP("换型调整", "Set-up"),
    MATERIAL("缺料", "No material"),
    TOOL("换刀", "Tool change");

    final String zh;
    final String en;

    Stop(String zh, String en) {
      this.zh = zh;
      this.en = en;
    }
  }

  /** What one shift of one line did. Times are in minutes, the ideal cycle in seconds a part. */
  private record Shift(
      String line,
      LocalDateTime start,
      double plannedMin,
      Map<Stop, Double> stops,
      double cycleS,
      int total,
      int rejected,
      boolean running) {

    double stopMin() {
      return stops.values().stream().mapToDouble(Double::doubleValue).sum();
    }

    Oee oee() {
      return Oee.of(plannedMin, stopMin(), cycleS, total, rejected);
    }
  }

  /** The three factors and their product, each from 0 to 1. */
  private record Oee(double availability, double performance, double quality) {
    /** Planned time is without breaks; performance is capped at 1, as a cycle time that is too long would exceed it. */
    static Oee of(double plannedMin, double stopMin, double cycleS, int total, int rejected) {
      double runMin = Math.max(0, plannedMin - stopMin);
      return new Oee(
          plannedMin > 0 ? runMin / plannedMin : 0,
          runMin > 0 ? Math.min(1, total * cycleS / 60 / runMin) : 0,
          total > 0 ? (double) (total - rejected) / total : 0);
    }

    double value() {
      return availability * performance * quality;
    }
  }

  private final String page;
  private final Phaser answering = new Phaser(1);
  private volatile boolean stopping;

  private OeeReport(String page) {
    this.page = page;
  }

  public static void main(String[] args) throws IOException {
    int port = Integer.parseInt(env("PORT", "8000"));
    OeeReport report = new OeeReport(Files.readString(Path.of("page.html")));
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 128);
    server.createContext("/", report::handle);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.start();
    System.out.printf("OEE of the lines %s on port %d%n", LINES, port);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> report.stop(server)));
  }

  /** On SIGTERM: requests in flight are finished, then the exit code is 0, where the JVM's own would be 143. */
  private void stop(HttpServer server) {
    stopping = true;
    try {
      answering.awaitAdvanceInterruptibly(answering.arriveAndDeregister(), DRAIN_S, TimeUnit.SECONDS);
    } catch (TimeoutException | InterruptedException late) {
      System.out.println("some requests were left unanswered");
    }
    server.stop(0);
    System.out.println("stopped");
    System.out.flush();
    Runtime.getRuntime().halt(0);
  }

  // --- HTTP

  private void handle(HttpExchange exchange) throws IOException {
    answering.register();
    try (exchange) {
      if (stopping) {
        exchange.getResponseHeaders().set("Connection", "close");
      }
      switch (exchange.getRequestURI().getPath()) {
        case "/" -> send(exchange, 200, "text/html", page);
        case "/api/shifts" -> send(exchange, 200, "application/json", json(recent(days(exchange))));
        case "/api/oee" -> computed(exchange);
        case "/report.csv" -> {
          exchange.getResponseHeaders().set("Content-Disposition", "attachment; filename=\"oee.csv\"");
          send(exchange, 200, "text/csv", csv(recent(days(exchange))));
        }
        case "/healthz" -> send(exchange, 200, "text/plain", "ok\n");
        default -> send(exchange, 404, "text/plain", "没有此页面 / no such page\n");
      }
    } finally {
      answering.arriveAndDeregister();
    }
  }

  private static void send(HttpExchange exchange, int status, String type, String text) throws IOException {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", type + "; charset=utf-8");
    exchange.getResponseHeaders().set("Cache-Control", "no-store");
    boolean head = exchange.getRequestMethod().equals("HEAD");
    exchange.sendResponseHeaders(status, head ? -1 : body.length);
    if (!head) {
      exchange.getResponseBody().write(body);
    }
  }

  private static Map<String, String> query(HttpExchange exchange) {
    Map<String, String> found = new TreeMap<>();
    String raw = exchange.getRequestURI().getRawQuery();
    for (String pair : raw == null ? new String[0] : raw.split("&")) {
      String[] parts = pair.split("=", 2);
      found.put(parts[0], parts.length < 2 ? "" : URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
    }
    return found;
  }

  private static int days(HttpExchange exchange) {
    try {
      return Math.max(1, Math.min(31, Integer.parseInt(query(exchange).getOrDefault("days", "7"))));
    } catch (NumberFormatException notANumber) {
      return 7;
    }
  }

  /** {@code ?planned=450&stops=45&cycle=12&total=1800&rejected=20}: minutes, minutes, seconds, parts, parts. */
  private static void computed(HttpExchange exchange) throws IOException {
    Map<String, String> asked = query(exchange);
    try {
      int total = Integer.parseInt(asked.getOrDefault("total", ""));
      int rejected = Integer.parseInt(asked.getOrDefault("rejected", "0"));
      double planned = number(asked, "planned");
      double stops = number(asked, "stops");
      double cycle = number(asked, "cycle");
      if (rejected > total || total < 0 || rejected < 0 || stops > planned) {
        throw new NumberFormatException("more rejected than made, or more stops than planned time");
      }
      send(exchange, 200, "application/json", json(Oee.of(planned, stops, cycle, total, rejected)));
    } catch (NumberFormatException wrong) {
      send(
          exchange,
          400,
          "application/json",
          "{\"error\":\"需要 planned、stops（分钟）、cycle（秒）、total、rejected（件）"
              + " / needs planned, stops (minutes), cycle (seconds), total, rejected (parts)\"}");
    }
  }

  private static double number(Map<String, String> asked, String name) {
    double value = Double.parseDouble(asked.getOrDefault(name, ""));
    if (!(value >= 0) || Double.isInfinite(value)) {
      throw new NumberFormatException(name);
    }
    return value;
  }

  // --- shifts

  /** The shifts of the last days, newest first; the one that runs has done a part of its time. */
  private static List<Shift> recent(int days) {
    LocalDateTime now = LocalDateTime.now(PLANT);
    LocalDateTime start = now.toLocalDate().atTime(now.getHour() / SHIFT_HOURS * SHIFT_HOURS, 0);
    List<Shift> found = new ArrayList<>();
    for (int back = 0; back < days * 24 / SHIFT_HOURS; back++) {
      for (String line : LINES) {
        found.add(shift(line, start.minusHours((long) back * SHIFT_HOURS), now));
      }
    }
    return found;
  }

  /** What a real plant's records would say of a shift. */
  private static Shift shift(String line, LocalDateTime start, LocalDateTime now) {
    double share = Math.min(1, Duration.between(start, now).toSeconds() / (SHIFT_HOURS * 3600.0));
    Random dice = new Random(31L * line.hashCode() + start.hashCode());
    double planned = (SHIFT_HOURS * 60 - BREAK_MIN) * share;
    Map<Stop, Double> stops = new LinkedHashMap<>();
    stops.put(Stop.BREAKDOWN, (dice.nextInt(3) == 0 ? 15 + dice.nextInt(50) : dice.nextInt(8)) * share);
    stops.put(Stop.SETUP, (10 + dice.nextInt(25)) * share);
    stops.put(Stop.MATERIAL, (dice.nextInt(4) == 0 ? 5 + dice.nextInt(20) : 0) * share);
    stops.put(Stop.TOOL, (4 + dice.nextInt(8)) * share);
    double cycle = 9 + 3 * (Math.abs(line.hashCode()) % 4);
    double run = planned - stops.values().stream().mapToDouble(Double::doubleValue).sum();
    int total = (int) (run * 60 / cycle * (0.86 + 0.12 * dice.nextDouble()));
    int rejected = (int) (total * (0.003 + 0.02 * dice.nextDouble()));
    return new Shift(line, start, planned, stops, cycle, total, rejected, share < 1);
  }

  // --- how it is written

  private static String json(Oee oee) {
    return String.format(
        Locale.ROOT,
        "{\"availability\":%.4f,\"performance\":%.4f,\"quality\":%.4f,\"oee\":%.4f}",
        oee.availability(),
        oee.performance(),
        oee.quality(),
        oee.value());
  }

  private static String json(Shift shift) {
    String stops =
        shift.stops().entrySet().stream()
            .map(
                each ->
                    String.format(
                        Locale.ROOT,
                        "{\"code\":\"%s\",\"zh\":\"%s\",\"en\":\"%s\",\"minutes\":%.1f}",
                        each.getKey(),
                        each.getKey().zh,
                        each.getKey().en,
                        each.getValue()))
            .collect(Collectors.joining(","));
    return String.format(
        Locale.ROOT,
        "{\"line\":%s,\"start\":\"%s\",\"running\":%b,\"planned_min\":%.1f,\"stop_min\":%.1f,\"cycle_s\":%.1f,"
            + "\"total\":%d,\"rejected\":%d,\"oee\":%s,\"stops\":[%s]}",
        quoted(shift.line()),
        shift.start(),
        shift.running(),
        shift.plannedMin(),
        shift.stopMin(),
        shift.cycleS(),
        shift.total(),
        shift.rejected(),
        json(shift.oee()),
        stops);
  }

  private static String json(List<Shift> shifts) {
    return String.format(
        "{\"instance\":\"%s\",\"at\":\"%s\",\"shifts\":[%s]}",
        env("GONGFANG_INSTANCE_INDEX", "0"),
        ZonedDateTime.now(PLANT).toOffsetDateTime(),
        shifts.stream().map(OeeReport::json).collect(Collectors.joining(",")));
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  /** With a byte order mark, so that a spreadsheet takes it as UTF-8. */
  private static String csv(List<Shift> shifts) {
    StringBuilder text = new StringBuilder("\uFEFF产线 line,班次开始 start,可用率 availability,性能率 performance,");
    text.append("合格率 quality,OEE,产量 total,不良 rejected\r\n");
    for (Shift shift : shifts) {
      Oee oee = shift.oee();
      text.append(
          String.format(
              Locale.ROOT,
              "%s,%s,%.4f,%.4f,%.4f,%.4f,%d,%d\r\n",
              shift.line(),
              shift.start(),
              oee.availability(),
              oee.performance(),
              oee.quality(),
              oee.value(),
              shift.total(),
              shift.rejected()));
    }
    return text.toString();
  }

  private static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isBlank() ? otherwise : value;
  }
}
